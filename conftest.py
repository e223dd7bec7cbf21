"""Configuration of the project's own tests.

It is also read by `pytest --fm=SPEC` in a checkout that was installed without the `dev` extra, so it must not
depend on that extra.
"""

import os

try:
    import hypothesis
except ImportError:
    pass
else:
    # Deadlines measure the machine, not the code. A machine of CI tries the same examples each time; new ones
    # are sought where somebody can look at what they show.
    hypothesis.settings.register_profile("default", deadline=None, derandomize="CI" in os.environ)
    hypothesis.settings.load_profile("default")
