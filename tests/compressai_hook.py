"""Stand-ins, during `import compressai` only, for packages that just its point-cloud and download code uses.

`install_compressai.py` copies this file into site-packages and loads it by a .pth line, so that plain
`import compressai` works. The five packages are imported at the top of CompressAI but never by its entropy coding; the
real ones cost minutes, and the public torchvision wheel does not import beside a CPU-only torch at all. A package that
does import is used as it is. Imports stand inside the functions: the .pth line runs at every interpreter start.
"""

import sys

_STAND_INS = {
    "einops": ("rearrange", "repeat"),
    "pandas": (),
    "requests": (),
    "torch_geometric": (),
    "torch_geometric.data": ("Data",),
    "torch_geometric.data.datapipes": ("functional_transform",),
    "torch_geometric.transforms": ("BaseTransform", "Center"),
    "torchvision": (),
    "torchvision.transforms": (),
}


class _Absent:
    def __init__(self, *args, **kwargs):
        raise ImportError(
            f"{type(self).__qualname__} is a stand-in: install the real package to use this of CompressAI"
        )


def _imports(name):
    from importlib import import_module

    try:
        import_module(name)
    except Exception:  # torchvision beside another torch build: RuntimeError, not ImportError
        for half_loaded in [m for m in sys.modules if m.split(".")[0] == name]:
            del sys.modules[half_loaded]
        return False
    return True


def _stand_in(name, attributes):
    module = type(sys)(name, "Stand-in, see compressai_hook")
    module.__path__ = []
    for attribute in attributes:
        setattr(module, attribute, type(attribute, (_Absent,), {"__qualname__": f"{name}.{attribute}"}))
    if "functional_transform" in attributes:  # a decorator that runs at import
        module.functional_transform = lambda _name: lambda cls: cls
    return module


def put_stand_ins():
    """Put the missing packages into sys.modules and return the names put there."""
    missing = {name for name in _STAND_INS if "." not in name and not _imports(name)}
    names = [name for name in _STAND_INS if name.split(".")[0] in missing]
    for name in names:
        sys.modules[name] = _stand_in(name, _STAND_INS[name])
        package, _, leaf = name.rpartition(".")
        if package:
            setattr(sys.modules[package], leaf, sys.modules[name])
    return names


class CompressaiFinder:
    """Finds what the ordinary finder finds, and runs its module body with the stand-ins in place."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "compressai":
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        run_body = spec.loader.exec_module

        def exec_module(module):
            names = put_stand_ins()
            try:
                run_body(module)
            finally:  # nobody else may take them for the real packages
                for put in names:
                    sys.modules.pop(put, None)

        spec.loader.exec_module = exec_module
        return spec


def install():
    if not any(getattr(finder, "__name__", "") == "CompressaiFinder" for finder in sys.meta_path):
        sys.meta_path.insert(0, CompressaiFinder)
