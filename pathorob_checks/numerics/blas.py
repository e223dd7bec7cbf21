"""scikit-learn's own matrix product, callable from several threads at a time.

scikit-learn's k-means calls the `sgemm` of `scipy.linalg.cython_blas`. That of `scipy.linalg.blas` is the
same routine, but holds Python's lock while it computes.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cython_blas

Float32 = npt.NDArray[np.float32]
_NUMBER = ctypes.POINTER(ctypes.c_int)
_FLOATS = ctypes.POINTER(ctypes.c_float)
_PROTOTYPE = ctypes.CFUNCTYPE(
    None,
    ctypes.c_char_p,
    ctypes.c_char_p,
    _NUMBER,
    _NUMBER,
    _NUMBER,
    _FLOATS,
    ctypes.c_void_p,
    _NUMBER,
    ctypes.c_void_p,
    _NUMBER,
    _FLOATS,
    ctypes.c_void_p,
    _NUMBER,
)


def minus_twice_product(a: Float32, b: Float32, sums: Float32) -> None:
    """Add -2 times the products of the rows of `b`, (m, D), with those of `a`, (n, D), to `sums`, (m, n).

    All are contiguous by rows. The products are those of scikit-learn's k-means, to the bit.
    """
    (n, D), m = a.shape, len(b)
    size, depth, rows = (ctypes.c_int(number) for number in (n, D, m))
    _sgemm()(
        b"T",
        b"N",
        ctypes.byref(size),
        ctypes.byref(rows),
        ctypes.byref(depth),
        ctypes.byref(ctypes.c_float(-2.0)),
        a.ctypes.data,
        ctypes.byref(depth),
        b.ctypes.data,
        ctypes.byref(depth),
        ctypes.byref(ctypes.c_float(1.0)),
        sums.ctypes.data,
        ctypes.byref(size),
    )


@cache
def _sgemm() -> Any:
    capsule = cython_blas.__pyx_capi__["sgemm"]
    of_name, of_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    of_name.restype, of_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    of_pointer.restype, of_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return _PROTOTYPE(of_pointer(capsule, of_name(capsule)))
