def html_report(metrics, pairs):
    return "x"
