"""The rules that keep the read model honest, enforced where the data is.

* `newer_version_only` - an older or repeated event changes nothing
* `checkpoint_compare_and_set` - rows and checkpoint move together, and only from where they stood
"""
