"""The pytest plugin: hooks in `hooks`, state in `gate`, fixtures in `fixtures`, options in `options`."""
