"""diffusers without what ember does not need: every start of the program waits for each module that is imported.

diffusers defines each network in a module of its own, but their packages import all of them, some two hundred, and with them
transformers and torch's compiler: half of what a start took. Here

- its packages are put in place without running their ``__init__``. Modules in them can be imported at once; a name that is not there
  yet runs the ``__init__`` first, in the same package, so that every name is the one that it always was;
- the classes of transformers that diffusers compares with are imported when something is compared with them;
- scipy's statistics and integrals are imported when a scheduler of diffusers asks for them, and the list of all installed
  packages is made when diffusers looks one up;
- what diffusers marks for torch's compiler is marked when the compiler is used.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_PACKAGES = tuple(f"diffusers.models.{name}" for name in ("autoencoders", "transformers", "unets"))
# the networks of Stable Diffusion 1 and 2, of which ember is one, and its autoencoder
_MODULES = ("diffusers.models.unets.unet_2d_condition", "diffusers.models.autoencoders.autoencoder_tiny")
_COMPILER = "torch._dynamo"
# classes that diffusers only compares with, or takes its own from
_CLASSES = {
    "transformers": ("PreTrainedModel", "AutoImageProcessor", "CLIPTextModel", "CLIPTextModelWithProjection"),
    "transformers.utils.quantization_config": ("QuantizationConfigMixin",),
}
_lock = threading.RLock()
_allowed: list[Any] = []


def spare_imports() -> None:
    """Import the networks of ember and their like with little else; what is imported already stays as it is."""
    with _lock:
        if all(name in sys.modules for name in _MODULES):
            return
        try:
            with ExitStack() as held:
                held.enter_context(_stand_in(_COMPILER, {"allow_in_graph": _allow_in_graph, "disable": _disable}))
                for module in ("scipy.stats", "scipy.integrate"):
                    held.enter_context(_stand_in(module, {}))
                held.enter_context(_later_packages())
                for module, classes in ({} if "transformers" in sys.modules else _CLASSES).items():
                    held.enter_context(_stand_in(module, {name: _later(module, name) for name in classes}))
                for name in _PACKAGES:
                    _place(name)
                for name in _MODULES:
                    importlib.import_module(name)
        except ImportError:
            # another version, which needs more than stands in: it is imported as usual where it is used
            return


def mark_for_compiler() -> None:
    """Tell torch's compiler what diffusers marked for it before it was imported."""
    import torch._dynamo

    while _allowed:
        torch._dynamo.allow_in_graph(_allowed.pop())


class _LazyPackage(ModuleType):
    """A package whose ``__init__`` has not run yet."""

    def __getattr__(self, name: str) -> Any:
        """Run the package's ``__init__``, then return one of its names."""
        if name.startswith("__"):
            # what the import system and debuggers look for decides nothing
            raise AttributeError(name)
        with _lock:
            if type(self) is _LazyPackage:
                self.__class__ = ModuleType  # type: ignore[assignment]
                spec = self.__spec__
                assert spec is not None
                assert spec.loader is not None
                spec.loader.exec_module(self)
        return getattr(self, name)


class _StandIn(ModuleType):
    """Stands in for a module while diffusers is imported; a name that it does not have imports the module."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _stand_in(name: str, known: Mapping[str, Any]) -> Iterator[None]:
    """Have another module with a few names in a module's place within a block, unless the module is imported already."""
    if name in sys.modules:
        yield
        return
    module = _StandIn(name)
    # for those who ask whether it is installed
    module.__spec__ = ModuleSpec(name, None)
    module.__dict__.update(known)
    sys.modules[name] = module
    try:
        yield
    finally:
        if sys.modules.get(name) is module:
            del sys.modules[name]


class _Packages(Mapping[str, list[str]]):
    """The distributions of all packages that are installed, which are looked for when one is looked up."""

    def __init__(self, find: Callable[[], Mapping[str, list[str]]]) -> None:
        self._find = functools.cache(find)

    def __getitem__(self, name: str) -> list[str]:
        return self._find()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._find())

    def __len__(self) -> int:
        return len(self._find())


@contextmanager
def _later_packages() -> Iterator[None]:
    find = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = lambda: _Packages(find)
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = find


def _place(name: str) -> None:
    """Put a package in place without its ``__init__``, unless it is imported already, or is not there."""
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None or spec.loader is None or spec.submodule_search_locations is None:
        return
    package = module_from_spec(spec)
    package.__class__ = _LazyPackage
    sys.modules[name] = package
    parent, _, own = name.rpartition(".")
    # as an import does; a lazy parent would import it otherwise
    setattr(sys.modules[parent], own, package)


class _Later(type):
    """The type of classes that stand for others, which are imported when something is compared with them."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls._meant(), name)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls._meant())

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls._meant())

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        return cls._meant()(*arguments, **keywords)

    def _meant(cls) -> Any:
        return getattr(importlib.import_module(cls.__module__), cls.__name__)


def _later(module: str, name: str) -> type:
    """Return a class that stands for a class of a module until that is needed."""
    return _Later(name, (), {"__module__": module})


def _allow_in_graph(marked: Any) -> Any:
    _allowed.append(marked)
    return marked


def _disable(function: Callable[..., Any] | None = None, *options: Any, **named: Any) -> Any:
    if function is None:
        return lambda given: _disable(given, *options, **named)

    @functools.wraps(function)
    def plain(*arguments: Any, **keywords: Any) -> Any:
        compiler = sys.modules.get(_COMPILER)
        if compiler is None or isinstance(compiler, _StandIn):
            # nothing is compiled before the compiler is imported
            return function(*arguments, **keywords)
        return compiler.disable(function, *options, **named)(*arguments, **keywords)

    return plain
