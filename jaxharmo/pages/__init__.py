"""Pages that work offline in one file: style sheet, plots, pictures, and a viewer of slices."""
