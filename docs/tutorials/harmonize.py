# %% [markdown]
# # Harmonize a series
#
# A DICOM series in a sharp kernel, translated to a smooth one by the shipped model, and radiomics
# before and after. The series is a phantom, whose kernels L and B have the ratio of transfer
# functions measured on a Philips Brilliance 16. The model was trained on that scanner and has
# never seen a phantom.

# %%
import json
import shlex
import subprocess
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from jaxharmo.data.manifest import choose_domains, read_manifest
from jaxharmo.data.shards import SliceSource
from jaxharmo.evaluation.radiomics import radiomic_features

# %% [markdown]
# ## A series
#
# Two slices of one patient, pixels of 0.84 mm, as in the training of the model. In your own work
# the series is a folder that comes from a scanner, and you skip this section.


# %%
def run(command):
    """Run a command as in a shell and show what it prints."""
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
    print(f"$ {command}\n{done.stdout}")


run(
    "jaxharmo phantom SHARDS --patients 3 --slices 2 --size 416 "
    "--domains 'MIRAGE Oval -- L' 'MIRAGE Oval -- B'"
)
shards = Path("SHARDS")
domains = choose_domains(read_manifest(shards), ("MIRAGE Oval -- L", "MIRAGE Oval -- B"))
sharp, smooth = (list(SliceSource(shards, "test", domain)) for domain in domains)


study, series, frame = (generate_uid() for _ in range(3))


def write_slice(item, number, folder):
    """One slice as a CT file."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.FrameOfReferenceUID = frame
    dataset.PatientID, dataset.PatientName, dataset.Modality = "PHANTOM", "PHANTOM", "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Manufacturer, dataset.ManufacturerModelName = "MIRAGE", "Oval"
    dataset.ConvolutionKernel, dataset.InstanceNumber = "L", number + 1
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [0, 0, 5.0 * number]
    dataset.PixelSpacing, dataset.SliceThickness = list(item.header.spacing), 5.0
    dataset.Rows, dataset.Columns = item.pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = item.pixels.astype("<i2").tobytes()
    dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)


folder = Path("SERIES")
folder.mkdir(exist_ok=True)
for number, item in enumerate(sharp):
    write_slice(item, number, folder)

# %% [markdown]
# ## Harmonize
#
# The headers name a scanner that the model does not know, so `--from` names the domain that the
# series is like.

# %%
run(
    "jaxharmo harmonize --model kernel-pairs --from 'Philips Brilliance16 -- L' "
    "--to 'Philips Brilliance16 -- B' SERIES OUTPUT"
)

# %% [markdown]
# ## Look
#
# The window is that of the lung.

# %%
results = [pydicom.dcmread(path) for path in Path("OUTPUT").glob("*.dcm")]
results.sort(key=lambda dataset: dataset.ImagePositionPatient[2])
made = [d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept) for d in results]
before = [item.pixels.astype(float) for item in sharp]
truth = [item.pixels.astype(float) for item in smooth]

figure, axes = plt.subplots(1, 3, figsize=(10, 3.6))
for axis, title, image in zip(
    axes, ("L, as acquired", "L to B", "B, the truth"), (before[1], made[1], truth[1]), strict=True
):
    axis.imshow(image[130:290, 60:220], cmap="gray", vmin=-1000, vmax=200)
    axis.set(title=title, xticks=[], yticks=[])

errors = [np.sqrt(np.mean((np.array(x) - truth) ** 2)) for x in (before, made)]
print(f"error against the truth: {errors[0]:.1f} HU before, {errors[1]:.1f} HU after")
print(results[0].DerivationDescription)

# %% [markdown]
# ## Radiomics
#
# Features of the soft tissue of each slice, in bins of 25 HU; the mean over the slices.

# %%
masks = [(image > 0) & (image < 100) for image in truth]
tables = [radiomic_features(np.array(x), masks, 25.0, "native") for x in (before, made, truth)]
print(f"{'feature':26} {'before':>10} {'after':>10} {'truth':>10}")
for name in ("firstorder_Entropy", "glcm_Contrast", "glcm_Correlation", "glcm_JointEntropy"):
    means = [np.mean([row[name] for row in table]) for table in tables]
    print(f"{name:26} " + " ".join(f"{value:10.3f}" for value in means))

# %% [markdown]
# ## Quality
#
# `harmonization.json` lies beside the slices. Read its warnings before you use a series.

# %%
sidecar = json.loads(Path("OUTPUT/harmonization.json").read_text())
print(json.dumps(sidecar, indent=1)[:1500])
