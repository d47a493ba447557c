"""The agreement's machine form: YAML files in, a policy set out, or every problem by file, line and column."""
