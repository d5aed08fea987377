# Copyright 2026 The tensorflow_tvm Authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ==============================================================================
"""The grammar of signatures: Python's reading of it, C++'s, and Python's own arithmetic agree."""

from __future__ import annotations

import json
import random
import re

import pytest
import tensorflow as tf
import tvm_ffi

import tensorflow_tvm as tftvm
from tensorflow_tvm.dimensions import evaluate, parse_shape
from tensorflow_tvm.signature import ATTR_TYPES, DTYPES, Argument, Signature
from tensorflow_tvm.tests.subprocesses import check_python

_check_signature = tvm_ffi.get_global_func("tensorflow_tvm.check_signature")
_evaluate_dimension = tvm_ffi.get_global_func("tensorflow_tvm.evaluate_dimension")
_OK, _INVALID_ARGUMENT = 0, tf.errors.INVALID_ARGUMENT
_SYMBOLS = ("n", "m", "batch_size", "_d0", "N")
_SIZES = (0, 1, 2, 3, 7, 64, 1000, 2**31 - 1, 2**31, 2**62, 2**63 - 1)


def _expression(rng, depth=4):
    """Return the text of a random expression of symbols, with brackets where they may be."""
    kind = rng.random()
    if depth == 0 or kind < 0.25:
        return rng.choice(_SYMBOLS)
    if kind < 0.45:
        return str(rng.choice((0, 1, 2, 3, 5, 10, 2**31, 2**63 - 1)))

    def inner():
        return _expression(rng, depth - 1)

    space = rng.choice(("", "", " "))
    if kind < 0.8:
        return f"{inner()}{space}{rng.choice(('+', '-', '*', '//', '%'))}{space}{inner()}"
    if kind < 0.88:
        return f"-({inner()})"
    if kind < 0.94:
        return f"({space}{inner()}{space})"
    values = f",{space}".join(inner() for _ in range(rng.randint(2, 4)))
    return f"{rng.choice(('min', 'max'))}({values})"


def _dim(rng):
    kind = rng.random()
    if kind < 0.2:
        return "?"
    if kind < 0.4:
        return str(rng.choice((0, 1, 17, 2**63 - 1)))
    # With a symbol, since an expression of numbers alone must come out as a size.
    return f"{_expression(rng)}+{rng.choice(_SYMBOLS)}" if kind < 0.8 else rng.choice(_SYMBOLS)


def _signature(rng):
    """Return the text of a random signature."""

    def tensor(name, dims):
        return f"{name}:{rng.choice(('', ' '))}{rng.choice((*DTYPES, 'any'))}[{dims}]"

    def tensors(letter):
        return [
            tensor(
                f"{letter}{i}",
                "..."
                if rng.random() < 0.2
                else ", ".join(_dim(rng) for _ in range(rng.randint(0, 4))),
            )
            + (rng.choice(("?", " ?", "")) if letter == "x" else "")
            for i in range(rng.randint(0, 3))
        ]

    attrs = [f"a{i}: {rng.choice(ATTR_TYPES)}" for i in range(rng.randint(0, 3))]
    taken = [*tensors("x"), *attrs]
    rng.shuffle(taken)
    taken.insert(rng.randint(0, len(taken)), tensor("symbols", ", ".join(_SYMBOLS)))
    space = rng.choice(("", " ", "\n\t"))
    return f"({f',{space}'.join(taken)}){space}->{space}({', '.join(tensors('y'))})"


def _parses(text):
    try:
        Signature.parse(text)
    except ValueError:
        return False
    return True


def _parses_in_cc(text):
    code, message, _ = _check_signature(text)
    assert code in (_OK, _INVALID_ARGUMENT), message
    return code == _OK


@pytest.mark.parametrize("seed", range(4))
def test_random_signatures_survive_text_and_json(seed):
    rng = random.Random(seed)
    for _ in range(150):
        text = _signature(rng)
        signature = Signature.parse(text)
        assert Signature.parse(str(signature)) == signature, text
        assert str(Signature.parse(str(signature))) == str(signature), text
        assert Signature.from_json(signature.to_json()) == signature, text
        assert Signature.from_json(signature.to_json().encode()) == signature, text
        assert Signature(signature.arguments) == signature, text
        assert hash(Signature(signature.arguments)) == hash(signature), text
        for form in (text, str(signature)):
            assert _parses_in_cc(form), form


@pytest.mark.parametrize("seed", range(4))
def test_python_and_cc_parse_the_same_texts(seed):
    rng = random.Random(seed)
    alphabet = [
        *"()[],:+-*/%?. \t\nxn019_.é",
        "->",
        "//",
        "...",
        "min(",
        "list[",
        "int",
        "any[",
        "y",
    ]
    outcomes = {True: 0, False: 0}
    for _ in range(1000):
        text = _signature(rng) if rng.random() < 0.5 else "(x: any[n, 2*n], k: int) -> (y: int8[])"
        for _ in range(rng.randint(1, 2)):
            at = rng.randrange(len(text))
            kind = rng.random()
            if kind < 0.4:
                text = text[:at] + text[at + 1 :]
            elif kind < 0.8:
                text = text[:at] + rng.choice(alphabet) + text[at:]
            else:
                text = text[:at] + rng.choice(alphabet) + text[at + 1 :]
        parses = _parses(text)
        assert parses == _parses_in_cc(text), repr(text)
        outcomes[parses] += 1
    assert min(outcomes.values()) > 50  # else this says little


def _outcome(function):
    """Return what `function` returns, or "error" if it divides by zero or leaves 64 bits."""
    try:
        return function()
    except (ZeroDivisionError, OverflowError):
        return "error"


@pytest.mark.parametrize("seed", range(4))
def test_evaluation_is_that_of_python(seed):
    rng = random.Random(seed)
    errors = 0
    for _ in range(700):
        text = f"{_expression(rng)}+{rng.choice(_SYMBOLS)}"
        for _ in range(3):
            values = {symbol: rng.choice(_SIZES) for symbol in _SYMBOLS}
            ours = _outcome(lambda: evaluate(text, values))  # noqa: B023
            code, message, theirs = _evaluate_dimension(text, values)
            what = f"{text} with {values}: {message}"
            assert (theirs if code == _OK else "error") == ours, what
            expected = _outcome(lambda: eval(text, {"min": min, "max": max}, dict(values)))  # noqa: B023
            if ours == "error":
                errors += 1
                if expected == "error":
                    assert "divides by zero" in message or "64 bits" in message
            else:
                assert ours == expected, what
    assert 50 < errors < 2000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(n-3)//2+1", {0: -1, 1: 0, 2: 0, 3: 1, 8: 3}),
        ("-n//2", {0: 0, 1: -1, 2: -1, 3: -2}),
        ("-n%3", {0: 0, 1: 2, 2: 1, 3: 0}),
        ("n//-2", {0: 0, 1: -1, 3: -2}),
        ("n%-3", {0: 0, 1: -2, 2: -1, 3: 0}),
        ("2*-n", {1: -2}),
        ("n--n", {3: 6}),
        ("10-n-1", {3: 6}),
        ("100//n//2", {5: 10}),
        ("2+3*n", {2: 8}),
        ("(2+3)*n", {2: 10}),
        ("max(n, 2, 5)", {0: 5, 9: 9}),
        ("min(n, 2, 5)", {0: 0, 9: 2}),
        ("n+9223372036854775807-9223372036854775807", {0: 0}),
        ("-n-1", {2**63 - 1: -(2**63)}),
    ],
)
def test_evaluation(text, value):
    for n, expected in value.items():
        assert evaluate(text, {"n": n}) == expected
        assert tuple(_evaluate_dimension(text, {"n": n})) == (_OK, "", expected)
        assert eval(text, {"n": n}) == expected


@pytest.mark.parametrize(
    ("text", "n", "error"),
    [
        ("n//0", 4, ZeroDivisionError),
        ("n%0", 4, ZeroDivisionError),
        ("4//n", 0, ZeroDivisionError),
        ("4%(n-n)", 3, ZeroDivisionError),
        ("n+1", 2**63 - 1, OverflowError),
        ("-n-2", 2**63 - 1, OverflowError),
        ("2*n", 2**62, OverflowError),
        ("n*n*0", 2**32, OverflowError),
        ("n*n-n*n", 2**32, OverflowError),
        ("(-n-1)//-1", 2**63 - 1, OverflowError),
        ("-(-n-1)", 2**63 - 1, OverflowError),
    ],
)
def test_evaluation_that_fails(text, n, error):
    with pytest.raises(error):
        evaluate(text, {"n": n})
    code, message, _ = _evaluate_dimension(text, {"n": n})
    assert code == _INVALID_ARGUMENT
    assert message == (
        "divides by zero" if error is ZeroDivisionError else "does not fit in 64 bits"
    )


def test_least_integer_modulo_minus_one():
    # The processor traps on it.
    text, values = "(-n-1)%-1", {"n": 2**63 - 1}
    assert evaluate(text, values) == 0
    assert tuple(_evaluate_dimension(text, values)) == (_OK, "", 0)


def test_evaluation_needs_all_symbols():
    with pytest.raises(KeyError, match="m"):
        evaluate("n+m", {"n": 1})


@pytest.mark.parametrize("dtype", [*DTYPES, "any"])
def test_dtypes(dtype):
    signature = Signature.parse(f"(x: {dtype}[n]) -> (y: {dtype}[n])")
    assert [argument.dtype for argument in signature.arguments] == [dtype, dtype]
    assert _parses_in_cc(str(signature))
    if dtype != "any":
        tf.as_dtype(dtype)
    assert Signature((Argument("input", "x", dtype, ("n",)),)).inputs[0].dtype == dtype


@pytest.mark.parametrize(
    "dtype",
    [
        "float",
        "double",
        "half",
        "int",
        "str",
        "uint1",
        "float32x4",
        "complex64",
        "string",
        "Any",
        "FLOAT32",
    ],
)
def test_dtypes_that_are_none(dtype):
    text = f"(x: {dtype}[n]) -> (y: int8[n])"
    with pytest.raises(
        ValueError, match=f"character 5: unknown dtype '{dtype}'; possible are bool"
    ):
        Signature.parse(text)
    assert not _parses_in_cc(text)
    with pytest.raises(ValueError, match=f"'x' has dtype '{dtype}'"):
        Signature((Argument("input", "x", dtype, ("n",)),))


@pytest.mark.parametrize("kind", ATTR_TYPES)
def test_attrs(kind):
    signature = Signature.parse(f"(k: {kind}, x: any[], l : {kind}) -> ()")
    assert [(a.name, a.dtype, a.shape) for a in signature.attrs] == [
        ("k", kind, None),
        ("l", kind, None),
    ]
    assert [argument.role for argument in signature.arguments] == ["attr", "input", "attr"]
    assert str(signature) == f"(k: {kind}, x: any[], l: {kind}) -> ()"
    assert Signature.from_json(signature.to_json()) == signature
    assert _parses_in_cc(str(signature))


def test_parts():
    signature = Signature.parse(
        "(x: float32[n, ?, 3], k: int, w: any[...]) -> (y: bool[2*n], z: int8[])"
    )
    assert signature.inputs == (
        Argument("input", "x", "float32", ("n", "?", 3)),
        Argument("input", "w", "any", None),
    )
    assert signature.attrs == (Argument("attr", "k", "int"),)
    assert signature.outputs == (
        Argument("output", "y", "bool", ("2*n",)),
        Argument("output", "z", "int8", ()),
    )
    assert tftvm.Signature is Signature and tftvm.Argument is Argument


def test_optional_inputs():
    text = "(b: float32[n]?, c: any[...]?, d: any[?], e: int8[]?) -> (y: any[n])"
    signature = Signature.parse(text.replace("?,", " ? ,"))
    assert [argument.optional for argument in signature.arguments] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert signature.inputs[0] == Argument("input", "b", "float32", ("n",), optional=True)
    assert str(signature) == text
    assert Signature.parse(text) == Signature.from_json(signature.to_json()) == signature
    assert '"optional"' not in Signature.parse("(d: any[?]) -> ()").to_json()
    assert _parses_in_cc(text) and _parses_in_cc(text.replace("?,", " ? ,"))


@pytest.mark.parametrize(
    ("role", "dtype", "optional"),
    [
        ("output", "int8", True),
        ("attr", "int", True),
        ("input", "int8", 1),
        ("input", "int8", None),
    ],
)
def test_what_cannot_be_optional(role, dtype, optional):
    entry = {"role": role, "name": "x", "dtype": dtype, "optional": optional}
    with pytest.raises(ValueError, match="optional must be True or False for an input, and False"):
        Signature((Argument(**entry),))
    with pytest.raises(ValueError, match=f"'x' has role '{role}' and optional {optional}"):
        Signature.from_json(json.dumps({"arguments": [entry]}))


@pytest.mark.parametrize(
    ("dim", "canonical"),
    [
        ("2 * n", "2*n"),
        ("((n))", "n"),
        ("(n+m)+d", "n+m+d"),
        ("n+(m+d)", "n+(m+d)"),
        ("n-(m-d)", "n-(m-d)"),
        ("(n*m)+d", "n*m+d"),
        ("n*(m+d)", "n*(m+d)"),
        ("n*(m//d)", "n*(m//d)"),
        ("-(n)", "-n"),
        ("-(-n)", "-(-n)"),
        ("n-(-m)", "n--m"),
        ("(-n)*m", "-n*m"),
        ("-(n*m)", "-(n*m)"),
        ("min((n),(m+1))", "min(n, m+1)"),
        ("007*n", "7*n"),
        ("2*(3+4)", 14),
        ("max(3, 4)", 4),
        ("5-5", 0),
    ],
)
def test_equal_dimensions_have_one_form(dim, canonical):
    text = f"(x: any[n, m, d]) -> (y: any[{dim}])"
    signature = Signature.parse(text)
    assert signature.outputs[0].shape == (canonical,)
    assert _parses_in_cc(text) and _parses_in_cc(str(signature))


# Each mistake is marked by a § before the character that the message points at.
@pytest.mark.parametrize(
    ("marked", "why"),
    [
        ("§", "expected '(', found the end"),
        ("§x: any[]) -> ()", "expected '('"),
        ("(x: any[n]§", "expected ',' or ')', found the end"),
        ("(x: any[n] §y: any[n]) -> ()", "expected ',' or ')', found 'y'"),
        ("(§, x: any[]) -> ()", "the name of an argument"),
        ("(x: any[],§) -> ()", "the name of an argument"),
        ("(§1: any[]) -> ()", "the name of an argument, found '1'"),
        ("(x §any[]) -> ()", "expected ':', found 'any'"),
        ("(x: §) -> ()", "a dtype, found ')'"),
        ("(x: §float[n]) -> ()", "unknown dtype 'float'"),
        ("(x: any§) -> ()", "expected '[', found ')'"),
        ("(x: any[n§) -> ()", "expected ',' or ']', found ')'"),
        ("(x: any[§,n]) -> ()", "expected a dimension, found ','"),
        ("(x: any[n,§]) -> ()", "expected a dimension, found ']'"),
        ("(x: any[...§, n]) -> ()", "expected ']', found ','"),
        ("(x: any[n, §...]) -> ()", "expected a dimension, found '...'"),
        ("(x: any[n]) -> (y: any[?§+1])", "expected ',' or ']', found '+'"),
        ("(x: any[n]) §(y: any[n])", "expected '->', found '('"),
        ("(x: any[n]) - §> (y: any[n])", "unexpected character '>'"),
        ("(x: any[n]) -> (y: any[n])§)", "expected the end, found ')'"),
        ("(x: any[n]) -> (y: any[2§n])", "expected ',' or ']', found 'n'"),
        ("(x: any[n]) -> (y: any[n*§*2])", "expected a dimension, found '*'"),
        ("(x: any[n]) -> (y: any[-§-n])", "expected a dimension, found '-'"),
        ("(x: any[n]) -> (y: any[(n§])", "expected ')', found ']'"),
        ("(x: any[n]) -> (y: any[min§(n)])", "'min' takes at least two values"),
        ("(x: any[n]) -> (y: any[max §3])", "expected '('"),
        ("(x: any[n]) -> (y: any[§2-3])", "a dimension cannot be negative, found -1"),
        ("(x: any[n]) -> (y: any[1, §7//0])", "by zero"),
        ("(x: any[n]) -> (y: any[§9223372036854775807+1])", "64 bits"),
        ("(x: any[n]) -> (y: any[§9223372036854775808])", "64 bits"),
        ("(x: any[n], §x: any[n]) -> ()", "two arguments are called 'x'"),
        ("(x: any[n]) -> (§x: any[n])", "two arguments are called 'x'"),
        ("(k: int, §k: int) -> ()", "two arguments are called 'k'"),
        ("(x: any[n]) -> (y: any[n, §m])", "symbol 'm' is no dimension of any input"),
        ("(x: any[2*§n]) -> (y: any[n])", "symbol 'n' is no dimension of any input"),
        ("(k: int) -> (y: any[§k])", "symbol 'k' is no dimension of any input"),
        ("(x: any[n]) -> (y: §int)", "the dtype of a tensor"),
        ("(x: any[n]) -> (y: list[§float32])", "'int' or 'float' or 'bool' or 'str'"),
        ("(k: list[§any]) -> ()", "expected 'int'"),
        ("(k: list§) -> ()", "expected '['"),
        ("(x: any[n§=2]) -> ()", "unexpected character '='"),
        ("(x: any[n §/ 2]) -> ()", "unexpected character '/'"),
        ("(x: any[n]) -> (y: any[n\n,\t§é])", "unexpected character 'é'"),
        ("(x: any[n]) -> (y: any[1§.5])", "unexpected character '.'"),
        ("(x: any[n]) -> (y: any[n]§?)", "an output cannot be optional"),
        ("(x: any[n]?§?) -> ()", "expected ',' or ')', found '?'"),
        ("(x: any§?[n]) -> ()", "expected '[', found '?'"),
        ("(k: int§?) -> ()", "expected ',' or ')', found '?'"),
        ("(x: any[n]?) -> (y: any[§m])", "symbol 'm' is no dimension of any input"),
    ],
)
def test_errors_point_at_the_character(marked, why):
    at, text = marked.index("§"), marked.replace("§", "")
    with pytest.raises(ValueError) as raised:
        Signature.parse(text)
    first, line, caret = str(raised.value).split("\n")
    assert first.startswith(f"Cannot parse signature at character {at + 1}: ")
    assert why in first, first
    assert line == "  " + re.sub(r"\s", " ", text)
    assert caret == " " * (at + 2) + "^"
    assert not _parses_in_cc(text)


@pytest.mark.parametrize(
    "marked",
    [
        "(x: any[n§) -> ()",
        "(x: §float[n]) -> ()",
        "(x: any[n], §x: any[n]) -> ()",
        "(x: any[n]) -> (y: any[n, §m])",
        "(x: any[n]) -> (y: any[§2-3])",
        "(x: any[n]) -> (y: any[n])§)",
    ],
)
def test_cc_errors_point_at_the_character(marked):
    at, text = marked.index("§"), marked.replace("§", "")
    code, message, _ = _check_signature(text)
    assert code == _INVALID_ARGUMENT
    first, line, caret = message.split("\n")
    assert first.startswith(f"cannot parse signature at character {at + 1}: ")
    assert line == f"  {text}" and caret == " " * (at + 2) + "^"


@pytest.mark.parametrize("value", [None, 3, b"() -> ()", ["() -> ()"]])
def test_only_text_is_parsed(value):
    with pytest.raises(TypeError, match="signature as a string"):
        Signature.parse(value)


_LARGE = {
    "brackets": lambda n: "(" * n + "n" + ")" * n,
    "open_brackets": lambda n: "(" * n,
    "calls": lambda n: "min(" * n + "n" + ", 1)" * n,
    "minuses": lambda n: "-" * n + "n",
    "bracketed_minuses": lambda n: "-(" * n + "n" + ")" * n,
    "operators": lambda n: "+".join(["n"] * n),
    "products": lambda n: "*".join(["n"] * n),
    "right": lambda n: "+(n" * n + ")" * n,
    "digits": lambda n: "9" * n,
    "small_calls": lambda n: "+".join(["min(n,1)"] * n),
}


@pytest.mark.parametrize("what", _LARGE)
@pytest.mark.parametrize("count", [1_000, 10_000, 100_000])
def test_large_dimensions_are_refused(what, count):
    text = f"(x: any[n]) -> (y: any[{_LARGE[what](count)}])"
    with pytest.raises(ValueError, match="at character|at most 65536 are allowed"):
        Signature.parse(text)
    assert not _parses_in_cc(text)


def test_error_points_at_very_long_integers():
    with pytest.raises(ValueError, match="at character 9: an integer that does not fit"):
        Signature.parse(f"(x: any[{'9' * 5000}]) -> ()")


def test_large_dimensions_in_small_stacks():
    # Threads have less stack than the process's first, and C++ recurses.
    check_python(
        """
        import threading
        threading.stack_size(256 * 1024)
        import tvm_ffi
        import tensorflow_tvm as tftvm
        check = tvm_ffi.get_global_func("tensorflow_tvm.check_signature")
        def run():
            for n in (31, 32, 33, 10_000):
                dim = "min(" * n + "n" + ", 1)" * n
                text = f"(x: any[n]) -> (y: any[{dim}])"
                assert (check(text)[0] == 0) == (n <= 32), n
                try:
                    tftvm.Signature.parse(text)
                except ValueError:
                    assert n > 32
                done.append(n)
        done = []
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert len(done) == 4
        """
    )


@pytest.mark.parametrize(("nesting", "parses"), [(32, True), (33, False)])
def test_deepest_nesting(nesting, parses):
    for opening, closing in (("(", ")"), ("min(", ", 1)"), ("-(", ")"), ("1+(", ")")):
        text = f"(x: any[n]) -> (y: any[{opening * nesting}n{closing * nesting}])"
        assert _parses(text) is parses and _parses_in_cc(text) is parses, text


@pytest.mark.parametrize(("operators", "parses"), [(200, True), (201, False)])
def test_most_operators(operators, parses):
    for operator in ("+", "-", "*", "//", "%", "+-"):
        count = operators // len(operator.replace("//", "/"))
        dim = "n" + f"{operator}n" * count
        text = f"(x: any[n]) -> (y: any[{dim}])"
        if operator != "+-":
            assert _parses(text) is parses
        assert _parses(text) is _parses_in_cc(text), text
    if parses:
        dim = "n" + "-(n" * 32 + ")" * 32 + "+n" * (operators - 32)
        values = {"n": 5}
        assert evaluate(dim, values) == _evaluate_dimension(dim, values)[2] == eval(dim, values)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2**20,
        "x" * 2**20,
        " " * 2**20,
        "\0" * 2**20,
        "é" * 2**19,
        "(x:any[n]" * 2**17,
        "->" * 2**19,
    ],
    ids=["brackets", "name", "spaces", "zeros", "letters", "arguments", "arrows"],
)
def test_a_megabyte_that_is_no_signature(text):
    assert not _parses(text)
    assert not _parses_in_cc(text)


@pytest.mark.parametrize(
    "space",
    [
        " ",
        "\t\n\r\f\v",
        "\u00a0",
        "\u2003",
        "\x1c",
        "\x85",
    ],
)
def test_what_is_a_space(space):
    text = f"(x:{space}any[n{space},{space}2]){space}->{space}(){space}"
    assert _parses(text) == _parses_in_cc(text)


@pytest.mark.parametrize("digit", ["²", "٣", "３"])
def test_digits_are_ascii(digit):
    text = f"(x: any[{digit}]) -> ()"
    assert not _parses(text) and not _parses_in_cc(text)


@pytest.mark.parametrize(
    ("text", "dims"),
    [
        ("[n, 2*d]", ("n", "2*d")),
        ("n, 2*d", ("n", "2*d")),
        ("n d", ("n", "d")),
        ("2 3", (2, 3)),
        ("[]", ()),
        ("", ()),
        ("  ", ()),
        ("7", (7,)),
        ("(n) ( d)", ("n", "d")),
        ("min(n, 3), ?", ("min(n, 3)", "?")),
    ],
)
def test_parse_shape(text, dims):
    assert parse_shape(text) == dims


@pytest.mark.parametrize(
    "text", ["[2", "2]", "[2] 3", "2,", ",2", "2,,3", "[2,]", "1.5", "a:b", "..."]
)
def test_parse_shape_that_is_none(text):
    with pytest.raises(ValueError, match="Cannot parse shape at character"):
        parse_shape(text)


def _tensor(role="input", name="x", dtype="any", shape=()):
    return Argument(role, name, dtype, shape)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([_tensor(), _tensor()], "two arguments of a signature are called 'x'"),
        ([_tensor("output"), _tensor("input", "y")], "outputs of a signature must come after"),
        ([_tensor("output"), Argument("attr", "k", "int")], "outputs of a signature must come"),
        ([_tensor(shape=("2*n",))], "symbol 'n' in 'x: any.2.n.' is no dimension of any input"),
        ([_tensor("output", shape=("n",))], "symbol 'n'"),
        ([_tensor(name="")], "identifier, given ''"),
        ([_tensor(name="a b")], "identifier, given 'a b'"),
        ([_tensor(name="x\n")], "identifier"),
        ([_tensor(name="é")], "identifier"),
        ([_tensor(name=3)], "identifier, given 3"),
        ([_tensor("middle")], "role of argument 'x'.*'middle'"),
        ([_tensor(shape=(-1,))], "at least 0.*given -1"),
        ([_tensor(shape=(2**63,))], "given 9223372036854775808"),
        ([_tensor(shape=(1.5,))], "given 1.5"),
        ([_tensor(shape=(None,))], "given None"),
        ([_tensor(shape=(True,))], "given True"),
        ([_tensor(shape=("n m",))], "Cannot parse dimension of 'x' at character 3"),
        ([_tensor(shape=("",))], "Cannot parse dimension of 'x' at character 1"),
        ([Argument("attr", "k", "float32")], "attr 'k' has type 'float32'"),
        ([Argument("attr", "k", "list[list[int]]")], "attr 'k' has type"),
        ([Argument("attr", "k", "int", ())], "attr 'k' cannot have a shape"),
        (["x"], "expected arguments of a signature"),
    ],
)
def test_signatures_that_cannot_be(arguments, why):
    with pytest.raises(ValueError, match=why):
        Signature(tuple(arguments))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        "{}",
        '{"arguments": 3}',
        '{"arguments": [3]}',
        '{"arguments": [{}]}',
        '{"arguments": [{"role": "input", "name": "x"}]}',
        '{"arguments": [{"role": "input", "name": "x", "dtype": "any", "shape": 3}]}',
        '{"arguments": [{"role": "input", "name": "x", "dtype": "any", "shape": [1.5]}]}',
        '{"arguments": [{"role": "input", "name": "x", "dtype": "any", "shape": [-1]}]}',
        '{"arguments": [{"role": "input", "name": "x", "dtype": "any", "shape": [[1]]}]}',
        '{"arguments": [{"role": "input", "name": ["x"], "dtype": "any", "shape": []}]}',
        '{"arguments": [{"role": ["input"], "name": "x", "dtype": "any", "shape": []}]}',
        '{"arguments": [{"role": "input", "name": "x", "dtype": ["any"], "shape": []}]}',
        '{"arguments": [{"role": "attr", "name": "x", "dtype": ["int"]}]}',
        '{"arguments": [{"role": "attr", "name": "x", "dtype": "int", "shape": [1]}]}',
        b"\xff",
    ],
)
def test_json_that_is_no_signature(text):
    with pytest.raises(ValueError):
        Signature.from_json(text)


def test_json_nested_deep():
    with pytest.raises(ValueError):
        Signature.from_json("[" * 100_000)


def test_json_shape_that_is_a_string():
    with pytest.raises(ValueError):
        Signature.from_json(
            '{"arguments": [{"role": "input", "name": "x", "dtype": "any", "shape": "nm"}]}'
        )


def test_json():
    signature = Signature.parse("(x: float32[n, ?, 3], k: list[int]) -> (y: any[...], z: bool[])")
    assert json.loads(signature.to_json()) == {
        "arguments": [
            {"role": "input", "name": "x", "dtype": "float32", "shape": ["n", "?", 3]},
            {"role": "attr", "name": "k", "dtype": "list[int]"},
            {"role": "output", "name": "y", "dtype": "any", "shape": None},
            {"role": "output", "name": "z", "dtype": "bool", "shape": []},
        ]
    }


@pytest.mark.parametrize(
    "name", ["min", "max", "any", "list", "int", "float32", "_", "X9", "args", "rets", "attrs"]
)
def test_words_of_the_grammar_as_names(name):
    text = f"({name}: any[n]) -> ()"
    assert Signature.parse(text).inputs[0].name == name and _parses_in_cc(text)
    symbol = f"(x: any[{name}]) -> (y: any[2*{name}])"
    assert _parses(symbol) == _parses_in_cc(symbol) == (name not in ("min", "max"))
