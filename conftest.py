"""Configuration of the project's own tests.

It is also read by `pytest --fm=SPEC` in a checkout that was installed without the `dev` extra, so it must not
depend on that extra.
"""

try:
    import hypothesis
except ImportError:
    pass
else:
    # Deadlines measure the machine, not the code.
    hypothesis.settings.register_profile("default", deadline=None)
    hypothesis.settings.load_profile("default")
