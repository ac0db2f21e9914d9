# %% [markdown]
# # Texture that has a gradient
#
# GLCM features describe texture. Here they are computed on the device, compared with pyradiomics,
# and differentiated. This page uses `jaxharmo.ops.glcm` as a library: no model, no training.

# %%
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxharmo.data.phantom import PhantomConfig, make_phantom
from jaxharmo.data.shards import SliceSource
from jaxharmo.evaluation.radiomics import radiomic_features
from jaxharmo.ops.glcm import GlcmConfig, glcm_features

# %% [markdown]
# ## Images
#
# A phantom patient, acquired once and reconstructed with a smooth and a sharp kernel. A patch of
# lung and soft tissue is enough.

# %%
folder = Path("phantom")
manifest = make_phantom(folder, PhantomConfig(patients=4, slices=1, size=192))
domains = {domain.name: domain for domain in manifest.domains}
kernels = ("B30f", "B70f")
slices = [SliceSource(folder, "train", domains[f"PHANTOM Ellipse -- {k}"])[0] for k in kernels]
hu = np.stack([item.pixels[60:124, 30:94] for item in slices]).astype(np.float32)

figure, axes = plt.subplots(1, 2, figsize=(7, 3.5))
for axis, image, kernel in zip(axes, hu, kernels, strict=True):
    axis.imshow(image, cmap="gray", vmin=-1024, vmax=400)
    axis.set(title=kernel, xticks=[], yticks=[])

# %% [markdown]
# ## Features
#
# Images are `b h w`. A result has one value per image and offset. The default offsets are 4
# angles by 4 distances; here there are the four neighbours that pyradiomics takes.

# %%
neighbours = ((0, 1), (-1, 0), (-1, 1), (-1, -1))
config = GlcmConfig(levels=57, value_range=(-1012.5, 387.5), offsets=neighbours)
names = ("contrast", "correlation", "joint_entropy")
values = glcm_features(jnp.asarray(hu), config, names)
for name in names:
    means = np.asarray(values[name].mean(axis=1))
    print(f"{name:14} B30f {means[0]:8.3f}   B70f {means[1]:8.3f}")

# %% [markdown]
# ## Beside pyradiomics
#
# Bins of 25 HU, all pixels of the patch. Soft (linear) binning shares a pixel between two levels,
# so the values above differ a little from those of hard bins. The radiomics of the evaluation use
# hard bins and agree with pyradiomics.

# %%
masks = [np.ones(image.shape, bool) for image in hu]
own = radiomic_features(hu, masks, 25.0, "native")
theirs = radiomic_features(hu, masks, 25.0, "pyradiomics")
for name in ("glcm_Contrast", "glcm_Correlation", "glcm_JointEntropy"):
    print(f"{name:18} jaxharmo {own[1][name]:.6f}   pyradiomics {theirs[1][name]:.6f}")
    assert np.isclose(own[1][name], theirs[1][name], rtol=1e-4)

# %% [markdown]
# ## A gradient one can see
#
# How would contrast rise if a pixel were brighter? Red: it would rise; blue: it would fall.


# %%
def contrast(images):
    """Mean contrast of images in HU."""
    return glcm_features(images, config, ("contrast",))["contrast"].mean()


gradient = np.asarray(jax.grad(contrast)(jnp.asarray(hu[:1])))[0]
limit = np.abs(gradient).max() / 3
figure, axes = plt.subplots(1, 2, figsize=(7, 3.5))
axes[0].imshow(hu[0], cmap="gray", vmin=-1024, vmax=400)
axes[1].imshow(gradient, cmap="coolwarm", vmin=-limit, vmax=limit)
for axis, title in zip(axes, ("B30f", "gradient of its contrast"), strict=True):
    axis.set(title=title, xticks=[], yticks=[])

# %% [markdown]
# ## Follow the gradient
#
# Gradient descent on the pixels of the smooth image, until its contrast is that of the sharp one.
# This matches one number and nothing else: it is no harmonization, but it is what a loss can use.

# %%
goal = contrast(jnp.asarray(hu[1:]))


@jax.jit
def step(images):
    """One step down the gradient, at most 2 HU per pixel."""
    slope = jax.grad(lambda x: (jnp.log(contrast(x)) - jnp.log(goal)) ** 2)(images)
    return images - 2.0 * slope / jnp.abs(slope).max()


images = jnp.asarray(hu[:1])
start = float(contrast(images))
for _ in range(300):
    images = step(images)
print(f"contrast {start:.2f} -> {float(contrast(images)):.2f}, goal {float(goal):.2f}")
