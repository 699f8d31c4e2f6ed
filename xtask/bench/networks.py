"""PyTorch's side of `cargo xtask bench networks`: reads the lesson that kilter left, answers each line of JSON with one."""

import json
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

net, place = sys.argv[1:]
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def timed(work, times):
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        done = work()
    return done, {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def answer(to):
    print(json.dumps(f"PyTorch {torch.__version__}"), flush=True)
    for line in sys.stdin:
        print(json.dumps(to(json.loads(line))), flush=True)


def operation(name):
    def new(*sides):
        return torch.randn(*sides, requires_grad=True)

    kind = name.split(",")[0]
    if kind == "conv2d 3x3":
        stride, groups = (2, 1) if "stride" in name else (1, 64 if "groups" in name else 1)
        x = new(32, 32, 32, 32) if stride == 2 else new(32, 64, 16, 16)
        w = new(64, x.shape[1] // groups, 3, 3)
        return lambda: F.conv2d(x, w, None, stride, 1, 1, groups).sum()
    if kind == "linear":
        x, w, b = new(1024, 256), new(1024, 256), new(1024)
        return lambda: F.linear(x, w, b).sum()
    if kind == "attention":
        # From rows to rows, as a network's layer needs it.
        q, k, v = new(1024, 256), new(1024, 256), new(1024, 256)
        heads = lambda x: x.view(8, 128, 4, 64).transpose(1, 2)
        attention = lambda: F.scaled_dot_product_attention(heads(q), heads(k), heads(v), is_causal=True)
        return lambda: attention().transpose(1, 2).reshape(1024, 256).sum()
    if kind == "layer norm":
        x, gamma, beta = new(1024, 256), new(256), new(256)
        return lambda: F.layer_norm(x, (256,), gamma, beta).sum()
    if kind == "batch norm":
        x, gamma, beta = new(32, 64, 256), new(64), new(64)
        return lambda: F.batch_norm(x, None, None, gamma, beta, training=True).sum()
    if kind == "softmax with cross-entropy":
        x, classes = new(1024, 4096), torch.randint(4096, (1024,))
        return lambda: F.cross_entropy(x, classes)
    if kind == "max pool 2x2":
        x = new(32, 32, 32, 32)
        return lambda: F.max_pool2d(x, 2).sum()
    if kind == "embedding":
        table, rows = new(4096, 256), torch.randint(4096, (1024,))
        return lambda: F.embedding(rows, table).sum()
    x = new(1024, 1024)
    each = {"gelu": lambda x: F.gelu(x, approximate="tanh"), "relu": F.relu, "dropout": lambda x: F.dropout(x, 0.1)}[kind]
    return lambda: each(x).sum()


def operate(order):
    work = operation(order["op"])
    return timed(lambda: work().backward(), order["steps"])[1]


if net == "ops":
    answer(operate)
    sys.exit()

with open(os.path.join(place, "lesson.json")) as file:
    lesson = json.load(file)
numbers = np.fromfile(os.path.join(place, "lesson.bin"), dtype=np.float32)
sides = [lesson["batch"], *lesson["shape"]]
count = int(np.prod(sides))
inputs = torch.from_numpy(numbers[:count].copy()).reshape(sides)
classes = torch.tensor(lesson["classes"])
p, at = {}, count
for name, shape in lesson["tensors"]:
    count = int(np.prod(shape))
    p[name] = torch.from_numpy(numbers[at : at + count].copy()).reshape(shape)
    at += count
statistics = {name for name in p if "running_" in name}
learned = [p[name].requires_grad_() for name in p if name not in statistics]


def linear(x, name):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def conv(x, name):
    return F.conv2d(x, p[name + ".weight"], p.get(name + ".bias"), padding=1)


def batch_norm(x, name):
    mean, variance = p[name + ".running_mean"], p[name + ".running_var"]
    return F.batch_norm(x, mean, variance, p[name + ".weight"], p[name + ".bias"], training=True)


def layer_norm(x, name):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"])


def mlp():
    x = F.relu(linear(inputs, "layers.0"))
    return linear(F.relu(linear(x, "layers.1")), "layers.2")


def cnn():
    x = F.max_pool2d(F.relu(conv(inputs, "convolutions.0")), 2)
    x = F.max_pool2d(F.relu(conv(x, "convolutions.1")), 2)
    return linear(x.flatten(1), "head.0")


def resnet():
    x = F.relu(batch_norm(conv(inputs, "first"), "first_norm"))
    y = F.relu(batch_norm(conv(x, "stages.0.0.conv1"), "stages.0.0.norm1"))
    y = batch_norm(conv(y, "stages.0.0.conv2"), "stages.0.0.norm2")
    return linear(F.relu(x + y).mean((2, 3)), "head")


def gpt():
    heads, layers = 4, 4
    tokens = inputs.long()
    batch, length = tokens.shape
    x = F.embedding(tokens, p["tokens.weight"]) + p["positions.weight"][:length]
    for i in range(layers):
        block = f"blocks.{i}."
        y = layer_norm(x, block + "norm1")
        q, k, v = (
            linear(y, f"{block}attention.{part}").view(batch, length, heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + linear(y.transpose(1, 2).reshape(batch, length, -1), block + "attention.output")
        y = F.gelu(linear(layer_norm(x, block + "norm2"), block + "up"), approximate="tanh")
        x = x + linear(y, block + "down")
    return F.linear(layer_norm(x, "norm"), p["tokens.weight"]).flatten(0, 1)


forward = {"mlp": mlp, "cnn": cnn, "resnet": resnet, "gpt": gpt}[net]
optimizer = torch.optim.Adam(learned, lr=1e-3)


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = F.cross_entropy(forward(), classes)
    loss.backward()
    optimizer.step()
    return loss


def peak_bytes():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def train(order):
    loss, took = timed(lambda: step().item(), order["steps"])
    return {**took, "loss": loss, "peak_bytes": peak_bytes()}


answer(train)
