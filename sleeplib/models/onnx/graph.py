"""What ONNX files are written with: a graph that grows by one operator at a time."""

from collections.abc import Callable

import numpy as np
import torch

from sleeplib.errors import SleeplibError

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:  # an optional extra
    raise SleeplibError(
        "ONNX files need the package onnx: pip install 'sleeplib[onnx]', or pip install onnx"
    ) from error

OPSET, IR = 18, 10  # of 2022 and 2024: what every onnxruntime since 1.18 reads
TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE}


class Graph:
    """Operators in the order in which they run; calling it adds one and returns the name of its output."""

    def __init__(self, name: str, dtype=np.float32):
        self.name, self.dtype = name, np.dtype(dtype)
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []

    def __call__(self, operator: str, *inputs, outputs: int = 1, **attributes):
        """Add an operator. Inputs are names, or arrays and lists of numbers that become constants."""
        inputs = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        names = [f"{self.name}_{operator}_{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, x) -> str:
        """A constant: whole numbers as int64, others in the graph's type."""
        if isinstance(x, torch.Tensor):
            x = x.detach().cpu()
            x = x.float().numpy() if x.dtype in (torch.bfloat16, torch.float16) else x.numpy()
        x = np.asarray(x)
        name = f"{self.name}_constant_{len(self.constants)}"
        x = np.array(x, np.int64 if x.dtype.kind == "i" else self.dtype, order="C")
        self.constants.append(numpy_helper.from_array(x, name))
        return name

    def input(self, name: str, *shape) -> str:
        """An input; sizes that are names may be any."""
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[self.dtype], shape or None))
        return name

    def output(self, x: str, name: str, *shape) -> None:
        """Give `x` out under this name."""
        self.nodes.append(helper.make_node("Identity", [x], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TYPES[self.dtype], shape or None))

    def size(self, x: str, axis: int) -> str:
        """The size of an axis, as a vector of one number."""
        return self("Shape", x, start=axis, end=axis + 1)

    def reshape(self, x: str, *sizes) -> str:
        """`x` in another shape, of numbers and of `size`s."""
        if all(isinstance(n, int) for n in sizes):
            return self("Reshape", x, list(sizes))
        parts = [n if isinstance(n, str) else [n] for n in sizes]
        return self("Reshape", x, self("Concat", *parts, axis=0))

    def scan(
        self, step: Callable, states: list[str], sequences: list[str], backwards=(), given=()
    ) -> tuple[list[str], list[str]]:
        """Run `step(graph, states, items) -> states, outputs` along the first axis of sequences.

        `backwards` and `given` tell which sequences are read and which outputs are written from the end. Returns the
        last states, and the outputs of all steps, one sequence each.
        """
        body = Graph(f"{self.name}_step_{len(self.nodes)}", self.dtype)
        inputs = [
            body.input(f"{body.name}_{kind}_{k}")
            for kind, several in (("state", states), ("item", sequences))
            for k in range(len(several))
        ]
        after, outputs = step(body, inputs[: len(states)], inputs[len(states) :])
        for kind, several in (("next", after), ("output", outputs)):
            for k, x in enumerate(several):
                body.output(x, f"{body.name}_{kind}_{k}")
        directions = {"scan_input_directions": backwards, "scan_output_directions": given}
        found = self(
            "Scan",
            *states,
            *sequences,
            outputs=len(after) + len(outputs),
            body=body.made(),
            num_scan_inputs=len(sequences),
            **{key: [int(x) for x in several] for key, several in directions.items() if several},
        )
        return found[: len(after)], found[len(after) :]

    def made(self):
        """The graph as ONNX has it."""
        return helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.constants)

    def model(self, facts: dict[str, str], text: str):
        """The model, checked, with facts as its metadata.

        Raises
        ------
        onnx.checker.ValidationError
            If it is no valid ONNX; this would be our mistake.
        """
        model = helper.make_model(
            self.made(), opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, doc_string=text
        )
        helper.set_model_props(model, facts)
        model.producer_name = "sleeplib"
        onnx.checker.check_model(model, full_check=True)
        return model
