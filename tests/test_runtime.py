from pathlib import Path

import jax

from jaxharmo.runtime import keep_compilations


def test_compilations_are_kept_in_the_users_cache_unless_a_folder_is_named(monkeypatch):
    named = jax.config.jax_compilation_cache_dir
    assert named, "tests must not write to the home folder"
    keep_compilations()
    assert jax.config.jax_compilation_cache_dir == named
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    jax.config.update("jax_compilation_cache_dir", None)
    kept = Path("/cache/jaxharmo/compiled")
    try:
        keep_compilations()
        assert Path(jax.config.jax_compilation_cache_dir) == kept
    finally:
        jax.config.update("jax_compilation_cache_dir", named)
