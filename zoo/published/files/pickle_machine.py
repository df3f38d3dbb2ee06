"""A machine for pickles that can do no harm: it builds containers, numbers, strings and descriptions of tensors.

A pickle is a program for a small stack machine, and the usual reader calls whatever functions it names. The one
here knows the instructions that build plain containers, and of functions only those in `_ADMITTED`, all of them our
own: nothing is imported, looked up or called for a file.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zoo.errors import CheckpointError

_DTYPES = {  # name of the storage -> type of its elements; bfloat16 is what numpy does not have
    "Float": "f4", "Double": "f8", "Half": "f2", "BFloat16": "bfloat16", "Long": "i8", "Int": "i4", "Short": "i2",
    "Char": "i1", "Byte": "u1", "Bool": "?", "ComplexFloat": "c8", "ComplexDouble": "c16",
}  # fmt: skip
_TORCH_DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
    "complex128", "float", "double", "half", "long", "int", "short", "cfloat", "cdouble",
)  # fmt: skip


@dataclass(frozen=True)
class Storage:
    key: str
    dtype: str
    n_elements: int


@dataclass(frozen=True)
class Tensor:
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Global:
    """Something that a file may name: a function of ours, or the type of a storage; of anything else just the name."""

    name: str
    call: Callable[..., Any] | None = None
    dtype: str | None = None


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or len(shape) != len(strides) or len(shape) > 32:
        raise CheckpointError("a tensor that is no view of a storage")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise CheckpointError("a tensor of negative sizes or strides")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _dictionary(pairs: Any = ()) -> dict[Any, Any]:
    return {_hashable(key): value for key, value in pairs}


def _set(items: Any = ()) -> set[Any]:
    return {_hashable(item) for item in items}


_ADMITTED = {
    entry.name: entry
    for entry in (
        _Global("torch._utils._rebuild_tensor_v2", _rebuild_tensor),
        _Global("torch._utils._rebuild_parameter", lambda tensor, *_: tensor),
        _Global("torch.Size", tuple),
        _Global("collections.OrderedDict", _dictionary),
        _Global("builtins.set", _set),
        _Global("__builtin__.set", _set),
        *(_Global(f"torch.{name}Storage", dtype=dtype) for name, dtype in _DTYPES.items()),
        *(_Global(f"torch.{name}") for name in _TORCH_DTYPES),
    )
}


class Stream:
    """What `pickletools.genops` needs of a file, over bytes in memory that are not copied before they are read."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0

    def view(self, n: int) -> memoryview:
        piece = self.data[self.position : self.position + n]
        if len(piece) != n or n < 0:
            raise CheckpointError("damaged or truncated: the end is missing")
        self.position += n
        return piece

    def read(self, n: int) -> bytes:
        piece = bytes(self.data[self.position : self.position + max(n, 0)])
        self.position += len(piece)
        return piece

    def readline(self) -> bytes:
        line = bytes(self.data[self.position : self.position + 4096])  # longer than any name or number
        line = line[: line.find(b"\n") + 1] or line
        self.position += len(line)
        return line


class Machine:
    """Runs one pickle, as far as it does no more than build containers, numbers, strings and tensors."""

    def __init__(self, stream: Stream) -> None:
        self._operations = pickletools.genops(stream)  # type: ignore[arg-type]  # it needs read and readline alone
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def run(self) -> Any:
        """The object built; the stream then stands behind the pickle."""
        for operation, argument, _ in self._operations:
            self._step(operation.name, argument)
        (built,) = self.stack
        return built

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name == "MARK":
            self.marks.append(stack)
            self.stack = []
        elif name in _TUPLES:
            n = _TUPLES[name]
            stack[-n:] = [tuple(stack[len(stack) - n :])]
        elif name in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            items = self._marked()
            self.stack.append(_BUILDERS[name](items))
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"):
            self._extend(name)
        elif name == "GLOBAL":
            stack.append(_admit(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack.append(_admit(stack.pop(-2), stack.pop()))
        elif name == "BINPERSID":
            stack.append(self._persistent(stack.pop()))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            if not isinstance(function, _Global) or function.call is None or not isinstance(arguments, tuple):
                raise CheckpointError("it calls what is no function")
            stack.append(function.call(*arguments))
        elif name == "BUILD":  # attributes of a dictionary: torch's state dicts carry versions of their modules
            if not isinstance(stack.pop(), dict) or not isinstance(stack[-1], dict):
                raise CheckpointError("it sets attributes of something that has none")
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._marked()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name not in ("PROTO", "FRAME", "STOP"):
            what = f"{name} {argument if isinstance(argument, str) else ''}"[:80].strip()
            raise CheckpointError(f"it holds more than tensors, containers, strings and numbers ({what})")

    def _marked(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def _extend(self, name: str) -> None:
        if name in ("APPEND", "SETITEM"):
            n = 1 if name == "APPEND" else 2
            items = self.stack[-n:]
            del self.stack[-n:]
        else:
            items = self._marked()
        target = self.stack[-1]
        if name.startswith("APPEND") and isinstance(target, list):
            target.extend(items)
        elif name.startswith("SETITEM") and isinstance(target, dict):
            target.update(_pairs(items))
        elif name == "ADDITEMS" and isinstance(target, set):
            target.update(_set(items))
        else:
            raise CheckpointError("it adds to something that is no container")

    def _persistent(self, identity: Any) -> Storage:
        kind, dtype, key, _, n_elements, *view = identity
        if kind != "storage" or not isinstance(dtype, _Global) or dtype.dtype is None or view not in ([], [None]):
            raise CheckpointError("it refers to something that is no storage of a tensor")
        if type(key) is not str or type(n_elements) is not int or n_elements < 0:
            raise CheckpointError("it refers to a storage without name or size")
        storage = Storage(key, dtype.dtype, n_elements)
        if self.storages.setdefault(key, storage) != storage:
            raise CheckpointError(f"storage {key:.20} is given two types or sizes")
        return storage


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8",
}  # fmt: skip
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return {_hashable(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


_BUILDERS: dict[str, Callable[[list[Any]], Any]] = {"TUPLE": tuple, "LIST": list, "DICT": _pairs, "FROZENSET": _set}


def _admit(module: Any, attribute: Any) -> _Global | str:
    if not isinstance(module, str) or not isinstance(attribute, str):
        raise CheckpointError("it asks for a function without a name")
    name = f"{module}.{attribute}"
    if name not in _ADMITTED:
        raise CheckpointError(f"it asks for {name:.80}, which is refused: only tensors and plain data are read")
    admitted = _ADMITTED[name]
    return admitted if admitted.call or admitted.dtype else name


def _hashable(key: Any) -> Any:
    # of nested tuples the hash would overflow Python's own stack
    if key is not None and not isinstance(key, str | int | float | bytes):
        raise CheckpointError(f"a dictionary or set of {type(key).__name__.strip('_').lower()}s")
    return key
