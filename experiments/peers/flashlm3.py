#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""FlashLM v3 in PyTorch: a cell of a sweep, so that PyTorch is timed beside this suite's own code.

    flashlm3.py SETTING=VALUE...    trains, and writes records (harness/util/record.h)
    flashlm3.py versions            says what it would run with, for the sweep
    flashlm3.py check [mode=compiled] [precision=bf16] DIR...
                                    compares with reference tensors, as `eightysix check parity=DIR`

The settings of `eightysix train` that it knows: model, head=softmax|adaptive|sampled, corpus,
vocab, V, corpus_seed, train_tokens, valid_tokens, budget, seed, threads, d, inner, recursions,
dilations, conv_groups, conv_kernel, batch, accum, seq, fraction, smoothing, zloss, init_sigma, lr,
lr_normuon, beta1, beta2, decay_weight, clip, ema, schedule=constant|wsd, warmup, decay, cutoffs,
samples. Its own: mode=eager|compiled, precision=f32|bf16 (bf16: products under autocast; weights,
moments, norms and losses stay float32). What it does not know, and what PyTorch has not, ends with
exit code 77.

It trains on the tokens of the same corpus (`eightysix tokenize tokens`), in other windows of them.
Losses are those of the whole validation and test text, as the suite evaluates them.

It is written to be fast. The cross entropy goes over the vocabulary in chunks of positions whose
logits become their own gradient in place; gradients of words that were looked up are added to the
rows of those words only; both convolutions of a layer are one batched product; AdamW is the fused
one; with mode=compiled the trunk and each chunk of the head are compiled before the clock starts.
Where libjemalloc.so.2 is installed, it takes the place of malloc.
"""
import ctypes.util
import importlib.metadata
import json
import math
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
import warnings

SKIP, WARM_STEPS, ROWS_AT_ONCE, EVALUATED_AT_ONCE = 77, 2, 512, 512


def skip(sentence):
    print(sentence, file=sys.stderr)
    sys.exit(SKIP)


def versions():
    """What its results rest on beside this file"""
    try:
        parts = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy")]
    except importlib.metadata.PackageNotFoundError as missing:
        skip(f"{missing.name} is not installed: `make peers` brings it")
    if ctypes.util.find_library("jemalloc"):
        parts.append("jemalloc")
    return ", ".join(parts + [f"Python {platform.python_version()}"])


class Records:
    def __init__(self):
        try:
            self.out = os.fdopen(3, "w")
        except OSError:
            self.out = sys.stdout

    def num(self, name, step, value):
        print("num", name, step, repr(float(value)), file=self.out)

    def text(self, key, value):
        print("text", key, value, file=self.out)

    def span(self, phase, step, seconds):
        print("span", phase, step, f"{seconds:.9f}", file=self.out)

    def line(self, line):
        print(line, file=self.out)

    def flush(self):
        self.out.flush()


if __name__ == "__main__" and sys.argv[1:] == ["versions"]:
    said = Records()
    said.text("peer_versions", versions())
    said.flush()
    sys.exit(0)


def with_jemalloc():
    """Starts this program again with jemalloc, which keeps large blocks and need not map them"""
    library, loaded = ctypes.util.find_library("jemalloc"), os.environ.get("LD_PRELOAD", "")
    if not library or "jemalloc" in loaded:
        return
    os.environ["LD_PRELOAD"] = (library + " " + loaded).strip()
    os.environ.setdefault("MALLOC_CONF", "oversize_threshold:1,background_thread:true,"
                                         "metadata_thp:auto,dirty_decay_ms:-1,muzzy_decay_ms:-1")
    os.execv(sys.executable, [sys.executable] + sys.argv)


if __name__ == "__main__":
    with_jemalloc()
try:
    import numpy
    import torch
    import torch.nn.functional as F
except (ImportError, OSError) as broken:
    skip(f"PyTorch cannot be loaded ({str(broken).splitlines()[0]}): `make peers` installs it")

DEFAULTS = dict(
    model="flashlm3", head="softmax", corpus="synth", vocab="auto", V=50257, corpus_seed=1,
    train_tokens=4000000, valid_tokens=65536, budget="60s", seed=1, threads=0, d=256, inner=0,
    recursions=2, dilations="1,4,64", conv_groups=16, conv_kernel=4, batch=4, accum=4, seq=128,
    fraction=1.0, smoothing=0.1, zloss=1e-4, init_sigma=0.02, lr=3e-4, lr_normuon=0.02, beta1=0.9,
    beta2=0.95, decay_weight=0.1, clip=1.0, ema=0.999, schedule="wsd", warmup=200, decay=0.1,
    cutoffs="counted", samples=1024, mode="eager", precision="f32")
CHOICES = dict(
    model=("flashlm3",), head=("softmax", "adaptive", "sampled"), mode=("eager", "compiled"),
    precision=("f32", "bf16"), schedule=("constant", "wsd"))
CORPUS = ("corpus", "vocab", "V", "corpus_seed", "train_tokens", "valid_tokens")


def numbers(word, text):
    try:
        return [int(x) for x in text.split(",")]
    except ValueError:
        skip(f"{word}={text}: this peer expects numbers")


def settings(words):
    s = dict(DEFAULTS)
    for word in words:
        key, eq, value = word.partition("=")
        if not eq or key not in s:
            skip(f"{word}: this peer has no such setting")
        try:
            s[key] = type(s[key])(value)
        except ValueError:
            skip(f"{word}: this peer expects a value like {s[key]}")
        if key in CHOICES and s[key] not in CHOICES[key]:
            skip(f"{word}: this peer has {'|'.join(CHOICES[key])}")
    s["inner"] = s["inner"] or int(s["d"] * 2.67)
    s["dilations"] = numbers("dilations", s["dilations"])
    if s["head"] == "adaptive":
        s["cutoffs"] = numbers("cutoffs", s["cutoffs"])
    if s["head"] == "adaptive" and s["smoothing"]:
        skip("head=adaptive: PyTorch's has no label smoothing; this peer expects smoothing=0")
    if not hasattr(torch, "compile") and s["mode"] == "compiled":
        skip(f"mode=compiled: PyTorch {torch.__version__} has no torch.compile")
    return s


class Budget:
    """60s 5m 5min 2h, 1000000tokens 2Mtokens, 500steps"""
    UNITS = (("tokens", "tokens", 1), ("steps", "steps", 1), ("s", "seconds", 1),
             ("min", "seconds", 60), ("m", "seconds", 60), ("h", "seconds", 3600))
    POWERS = {"k": 1e3, "M": 1e6, "G": 1e9}

    def __init__(self, text):
        self.seconds = self.tokens = self.steps = math.inf
        for end, what, scale in self.UNITS:
            if not text.endswith(end):
                continue
            number = text[:-len(end)]
            power = self.POWERS.get(number[-1:], 1)
            setattr(self, what, float(number.rstrip("kMG")) * scale * power)
            return
        skip(f"budget={text}: this peer expects a number of s, m, h, tokens or steps")

    def part(self, seconds, tokens, steps):
        return max(seconds / self.seconds, tokens / self.tokens, steps / self.steps)


# ---- the trunk ----

def rmsnorm(x, scale):
    return x * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-8) * scale


class Ternary(torch.autograd.Function):
    """+1 where w > mean |w|, -1 where w < -mean |w|, 0 between; its gradient passes through"""

    @staticmethod
    def forward(ctx, w):
        return torch.sign(w) * (w.abs() > w.abs().mean())

    @staticmethod
    def backward(ctx, g):
        return g


def ternary(x, w):
    return F.linear(x, Ternary.apply(w))


def gated_conv(x, gate, value, dilation, groups):
    """sigmoid(conv_gate(x)) conv_value(x): both causal grouped convolutions as one batched product
    of the taps side by side. x [B, T, d]; gate, value [d, d / groups, k], whose last tap is the
    present token"""
    B, T, d = x.shape
    k, n = gate.shape[2], d // groups
    padded = F.pad(x, (0, 0, (k - 1) * dilation, 0))
    taps = torch.stack([padded[:, j * dilation:j * dilation + T] for j in range(k)], -1)
    rows = taps.reshape(B * T, groups, n * k).transpose(0, 1)
    w = torch.cat([gate.reshape(groups, n, n * k), value.reshape(groups, n, n * k)], 1)
    y = torch.bmm(rows, w.transpose(1, 2))
    y = (torch.sigmoid(y[..., :n]) * y[..., n:]).transpose(0, 1)
    return y.reshape(B, T, d)


class Trunk(torch.nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        d, inner, n = s["d"], s["inner"], s["d"] // s["conv_groups"]

        def matrix(rows, cols, sigma):
            return torch.nn.Parameter(torch.randn(rows, cols) * sigma)

        def taps():
            bound = 1 / math.sqrt(n * s["conv_kernel"])
            return torch.nn.Parameter((torch.rand(d, n, s["conv_kernel"]) * 2 - 1) * bound)

        def vector():
            return torch.nn.Parameter(torch.ones(d))

        self.embedding = matrix(s["V"], d, s["init_sigma"])
        self.norm1, self.norm2, self.final = vector(), vector(), vector()
        of_each = s["dilations"]
        self.norms = torch.nn.ParameterList(vector() for _ in of_each)
        self.gates = torch.nn.ParameterList(taps() for _ in of_each)
        self.values = torch.nn.ParameterList(taps() for _ in of_each)
        self.out = matrix(d, d, 0.01)
        self.gate, self.up = matrix(inner, d, d ** -0.5), matrix(inner, d, d ** -0.5)
        self.down = matrix(d, inner, 0.01)

    def named(self):
        """Names of checkpoints -> parameters"""
        names = {"embedding.weight": self.embedding, "block.norm1.scale": self.norm1,
                 "block.norm2.scale": self.norm2, "final_norm.scale": self.final,
                 "block.token_mixer.out_proj.weight": self.out,
                 "block.glu.gate_proj.weight": self.gate, "block.glu.up_proj.weight": self.up,
                 "block.glu.down_proj.weight": self.down}
        for j in range(len(self.norms)):
            at = "block.token_mixer."
            names[f"{at}norms.{j}.scale"] = self.norms[j]
            names[f"{at}layers.{j}.conv_gate.conv.weight"] = self.gates[j]
            names[f"{at}layers.{j}.conv_value.conv.weight"] = self.values[j]
        return names

    def ternaries(self):
        return [self.out, self.gate, self.up, self.down]

    def forward(self, x):
        """x [B, T, d]: the embedded tokens"""
        s = self.s
        for _ in range(s["recursions"]):
            a = rmsnorm(x, self.norm1)
            for dilation, norm, g, v in zip(s["dilations"], self.norms, self.gates, self.values):
                a = a + gated_conv(rmsnorm(a, norm), g, v, dilation, s["conv_groups"])
            x = x + ternary(a, self.out)
            b = rmsnorm(x, self.norm2)
            x = x + ternary(F.relu(ternary(b, self.gate)).square() * ternary(b, self.up), self.down)
        return rmsnorm(x, self.final)


# ---- the heads. forward_backward(h, y, scale): the mean loss over the rows of h, and its gradient
# by h times scale; gradients of parameters are added in place. nll(h, y): the exact sum ----

def full_nll(h, y, w):
    return F.cross_entropy((h @ w.t()).float(), y, reduction="sum")


class Softmax:
    """Full softmax over the embedding's rows: V-sized memory is that of one chunk of positions"""

    def __init__(self, s, trunk, counts):
        self.w, self.s, self.params = trunk.embedding, s, []
        self.chunk = compiled(s, self.one)

    def one(self, h, y, w, n):
        """Of a chunk: its part of the loss, and what the logits become, d loss / d logits"""
        eps, coeff, V = self.s["smoothing"], self.s["zloss"], w.shape[0]
        z = (h @ w.t()).float()
        lse = torch.logsumexp(z, -1)
        loss = (lse - (1 - eps) * z.gather(1, y[:, None]).squeeze(1)).sum()
        factor = torch.full_like(lse, 1 / n)
        if eps:
            loss = loss - eps / V * z.sum()
        if coeff:
            loss = loss + coeff * lse.square().sum()
            factor = factor + 2 * coeff / n * lse
        dz = z.sub_(lse[:, None]).exp_().mul_(factor[:, None])
        if eps:
            dz = dz.sub_(eps / V / n)
        dz = dz.scatter_add_(1, y[:, None], torch.full_like(lse, -(1 - eps) / n)[:, None])
        return loss / n, dz.to(h.dtype)

    def forward_backward(self, h, y, scale):
        w = full = self.w.detach()
        if self.s["precision"] == "bf16":
            h, w = h.bfloat16(), w.bfloat16()
        loss, dh, n, g = 0.0, [], h.shape[0], self.w.grad
        for i in range(0, n, ROWS_AT_ONCE):
            x = h[i:i + ROWS_AT_ONCE]
            part, dz = self.chunk(x, y[i:i + ROWS_AT_ONCE], w, n)
            loss += part
            dh.append((dz @ w).float() * scale)
            if x.dtype == g.dtype:
                g.addmm_(dz.t(), x, alpha=scale)
            else:
                g.add_(dz.t() @ x, alpha=scale)
        return loss, torch.cat(dh)

    def nll(self, h, y):
        return full_nll(h, y, self.w)


class ByAutograd:
    """A head that PyTorch differentiates: loss(h, y, *looked up rows of the embedding)"""

    def rows(self, y):
        """Words whose rows the loss needs, a tensor of ids each"""
        return ()

    def forward_backward(self, h, y, scale):
        h, words = h.detach().requires_grad_(), self.rows(y)
        rows = [self.w.detach()[ids].requires_grad_() for ids in words]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.s["precision"] == "bf16"):
            loss = self.call(h, y, *words, *rows)
        (loss * scale).backward()
        for ids, looked_up in zip(words, rows):
            self.w.grad.index_add_(0, ids, looked_up.grad)
        return loss.detach(), h.grad


def ranks(counts):
    """Of each word, by falling count, ids where equal"""
    order = torch.argsort(counts, descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    return order, rank


class Adaptive(ByAutograd):
    """torch.nn.AdaptiveLogSoftmaxWithLoss (Grave et al. 2017), words by falling count"""

    def __init__(self, s, trunk, counts):
        self.s, self.w = s, trunk.embedding
        self.net = torch.nn.AdaptiveLogSoftmaxWithLoss(s["d"], s["V"], s["cutoffs"], 4.0)
        self.params = list(self.net.parameters())
        _, self.rank = ranks(counts)
        # clusters have other sizes in every batch
        self.call = compiled(s, self.loss, dynamic=True)

    def loss(self, h, y):
        return self.net(h, self.rank[y]).loss

    def nll(self, h, y):
        return -self.net(h.float(), self.rank[y]).output.sum()


class Sampled(ByAutograd):
    """Sampled softmax (Jean et al. 2015), as models/head_sampled.c: logits of drawn words minus log
    of their expected count by the log-uniform law; a drawn target does not count against itself"""

    def __init__(self, s, trunk, counts):
        self.s, self.w, self.V, self.n, self.params = s, trunk.embedding, s["V"], s["samples"], []
        self.order, rank = ranks(counts)
        r = rank.double()
        law = torch.log((r + 2) / (r + 1)) / math.log(self.V + 1)
        self.log_count = (torch.log(law) + math.log(self.n)).float()
        self.call = compiled(s, self.loss)

    def rows(self, y):
        u = torch.rand(self.n, dtype=torch.float64)
        drawn = (torch.exp(u * math.log(self.V + 1)).long() - 1).clamp(0, self.V - 1)
        return y, self.order[drawn]

    def loss(self, h, y, own, drawn, of_own, of_drawn):
        at = (h * of_own).sum(-1)
        z = (h @ of_drawn.t()).float() - self.log_count[drawn]
        z = z.masked_fill(drawn[None] == own[:, None], -1e30)
        return (torch.logsumexp(torch.cat([at[:, None], z], 1), -1) - at).mean()

    def nll(self, h, y):
        return full_nll(h, y, self.w)


HEADS = dict(softmax=Softmax, adaptive=Adaptive, sampled=Sampled)


def compiled(s, call, dynamic=False):
    return torch.compile(call, dynamic=dynamic) if s["mode"] == "compiled" else call


# ---- optimisers and a step ----

class NorMuon:
    """Momentum, five Newton-Schulz steps, rows by their second moment, a fixed length"""

    def __init__(self, params, lr, momentum=0.95, beta2=0.999, eps=1e-8):
        self.params, self.lr, self.momentum, self.beta2, self.eps = params, lr, momentum, beta2, eps
        self.m = [torch.zeros_like(p) for p in params]
        self.v = [torch.zeros(p.shape[0], 1) for p in params]

    def orthogonal(self, m):
        x = m / (m.norm() + 1e-7)
        tall = x.shape[0] > x.shape[1]
        x = x.t() if tall else x
        for _ in range(5):
            a = x @ x.t()
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        return x.t() if tall else x

    @torch.no_grad()
    def step(self, scale):
        for p, m, v in zip(self.params, self.m, self.v):
            m.lerp_(p.grad, 1 - self.momentum)
            o = self.orthogonal(m)
            v.lerp_(o.square().mean(1, keepdim=True), 1 - self.beta2)
            o = o / (v.sqrt() + self.eps)
            p.sub_(o, alpha=float(self.lr * scale * 0.2 * math.sqrt(p.numel())
                                  / (o.norm() + self.eps)))


class Laps:
    """Seconds of each phase of a step"""

    def __init__(self):
        self.last, self.spans = time.perf_counter(), {}

    def mark(self, phase):
        now = time.perf_counter()
        self.spans[phase] = self.spans.get(phase, 0.0) + now - self.last
        self.last = now


class Trainer:
    def __init__(self, s, trunk, head):
        self.s, self.trunk, self.head = s, trunk, head
        ternaries = trunk.ternaries()
        is_ternary = {id(p) for p in ternaries}
        rest = [p for p in list(trunk.parameters()) + head.params if id(p) not in is_ternary]
        of_head = {id(p) for p in [trunk.embedding] + head.params}
        self.adamw = {"head": self.make_adamw([p for p in rest if id(p) in of_head]),
                      "core": self.make_adamw([p for p in rest if id(p) not in of_head])}
        self.normuon = NorMuon(ternaries, s["lr_normuon"])
        self.all = rest + ternaries
        self.average = [p.detach().clone() for p in self.all] if s["ema"] else []
        for p in self.all:
            p.grad = torch.zeros_like(p)
        self.grads = [p.grad for p in self.all]
        self.call = compiled(s, trunk)

    def make_adamw(self, params):
        s = self.s
        groups = [dict(params=[p for p in params if p.dim() > 1], weight_decay=s["decay_weight"]),
                  dict(params=[p for p in params if p.dim() == 1], weight_decay=0.0)]
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=s["lr"],
                                 betas=(s["beta1"], s["beta2"]), eps=1e-8, fused=True)

    def batch(self, tok, y, positions, scale, laps):
        """One micro-batch; positions: indices into its B T rows, None: all"""
        embedding = self.trunk.embedding
        x = embedding.detach()[tok].requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.s["precision"] == "bf16"):
            h = self.call(x)
        rows, y = h.reshape(-1, h.shape[-1]), y.reshape(-1)
        picked = rows.detach().float()
        if positions is not None:
            picked, y = picked[positions], y[positions]
        laps.mark("core.forward")
        loss, dh = self.head.forward_backward(picked, y, scale)
        laps.mark("head.forward")
        if positions is not None:
            full = torch.zeros(rows.shape[0], dh.shape[1])
            full[positions] = dh
            dh = full
        rows.backward(dh.to(rows.dtype))
        embedding.grad.index_add_(0, tok.reshape(-1), x.grad.reshape(-1, x.shape[-1]))
        laps.mark("core.backward")
        return float(loss)

    def rate(self, part, step):
        s = self.s
        scale = min(1.0, (step + 1) / s["warmup"]) if s["warmup"] else 1.0
        if s["schedule"] == "wsd" and s["decay"] and part > 1 - s["decay"]:
            scale *= max(0.0, (1 - part) / s["decay"])
        return scale

    @torch.no_grad()
    def update(self, scale, laps):
        """Clips, updates, averages; returns the norm before clipping. V-sized matrices are the
        head's"""
        norm, clip = float(torch.stack(torch._foreach_norm(self.grads)).norm()), self.s["clip"]
        if clip and norm + 1e-6 > clip:
            torch._foreach_mul_(self.grads, clip / (norm + 1e-6))
        laps.mark("other")
        for owner in ("head", "core"):
            for group in self.adamw[owner].param_groups:
                group["lr"] = self.s["lr"] * scale
            self.adamw[owner].step()
            if owner == "core":
                self.normuon.step(scale)
            laps.mark(owner + ".update")
        if self.average:
            torch._foreach_lerp_(self.average, self.all, 1 - self.s["ema"])
        torch._foreach_zero_(self.grads)
        laps.mark("other")
        return norm


# ---- the text: that of the suite ----

def suite():
    """The program of the suite: that which runs the sweep, or one beside this file"""
    here = os.path.dirname(os.path.abspath(__file__))
    built = os.path.join(here, "..", "..", "build", "eightysix")
    named = os.environ.get("EIGHTYSIX_PROGRAM")
    return named or shutil.which(built) or shutil.which("eightysix") or "eightysix"


def token_file(path, first, count):
    """Ids of a token file: harness/corpus/data.h has the format"""
    with open(path, "rb") as f:
        head = f.read(4096)
    width = 2 if int.from_bytes(head[8:12], "little") == 1 else int.from_bytes(head[456:460],
                                                                               "little")
    return numpy.memmap(path, {2: "<u2", 4: "<u4"}[width], "r", 4096 + first * width, (count,))


class Text:
    def __init__(self, s, records):
        words = [f"{key}={s[key]}" for key in CORPUS]
        try:
            said = subprocess.run([suite(), "tokenize", "tokens"] + words, check=True,
                                  stdout=subprocess.PIPE, text=True, close_fds=True).stdout
        except (OSError, subprocess.CalledProcessError) as wrong:
            sys.exit(f"the tokens of corpus={s['corpus']} cannot be found: {wrong}")
        self.ids = {}
        for line in said.splitlines():
            kind, name, *rest = line.split(" ", 4)
            if kind == "tokens":
                self.ids[name] = token_file(rest[2], int(rest[0]), int(rest[1]))
                continue
            if name == "V":
                s["V"] = int(float(rest[1]))
            records.line(line)

    def counts(self, V):
        train, block = self.ids["train"], 1 << 22
        parts = (numpy.bincount(train[i:i + block], minlength=V)
                 for i in range(0, len(train), block))
        return torch.from_numpy(sum(parts))

    def windows(self, split, starts, T):
        ids = self.ids[split]
        rows = numpy.stack([ids[i:i + T + 1] for i in starts]).astype("int64")
        rows = torch.from_numpy(rows)
        return rows[:, :-1], rows[:, 1:]

    def micro_batch(self, s):
        most, n = len(self.ids["train"]) - s["seq"], s["batch"] * s["seq"]
        x, y = self.windows("train", torch.randint(0, most, (s["batch"],)).tolist(), s["seq"])
        supervised = min(n, max(1, round(s["fraction"] * n)))
        return x, y, torch.randperm(n)[:supervised] if supervised < n else None


@torch.no_grad()
def evaluate(s, trunk, head, text, split):
    """Mean loss in nats over windows of seq, and how many positions these have"""
    T, total = s["seq"], 0.0
    windows = (len(text.ids[split]) - 1) // T
    at_once = max(1, EVALUATED_AT_ONCE // T)
    for w in range(0, windows, at_once):
        starts = [i * T for i in range(w, min(w + at_once, windows))]
        x, y = text.windows(split, starts, T)
        with torch.autocast("cpu", torch.bfloat16, enabled=s["precision"] == "bf16"):
            h = trunk(trunk.embedding[x])
        total += float(head.nll(h.reshape(-1, h.shape[-1]).float(), y.reshape(-1)))
    return total / max(1, windows * T), windows * T


# ---- the cell ----

def describe(s, records, trunk, head):
    records.text("peer_versions", versions())
    records.text("peer", f"PyTorch {torch.__version__} {s['mode']} {s['precision']}"
                         + (" jemalloc" if "jemalloc" in os.environ.get("LD_PRELOAD", "") else ""))
    for key in ("kernel", "gemm", "gemm_core", "f32"):
        records.text(key, "torch")
    records.text("isa", torch.backends.cpu.get_cpu_capability().lower())
    records.num("threads", 0, torch.get_num_threads())
    records.num("params", 0, sum(p.numel() for p in list(trunk.parameters()) + head.params))
    records.num("first_step", 0, 0)
    records.flush()


def one_step(s, trainer, text, part, step):
    """Loss, norm of the gradient, laps and supervised positions of a step"""
    laps, loss, supervised = Laps(), 0.0, 0
    for _ in range(s["accum"]):
        tok, y, positions = text.micro_batch(s)
        laps.mark("data")
        loss += trainer.batch(tok, y, positions, 1 / s["accum"], laps) / s["accum"]
        supervised += y.numel() if positions is None else len(positions)
    norm = trainer.update(trainer.rate(part, step), laps)
    return loss, norm, laps, supervised


def record_losses(s, records, trunk, head, text, step, seconds, tokens):
    began = time.perf_counter()
    nll, positions = evaluate(s, trunk, head, text, "valid")
    for name, value in (("nll", nll), ("eval_seconds", seconds), ("eval_tokens", tokens),
                        ("eval_positions", positions), ("eval_s", time.perf_counter() - began)):
        records.num(name, step, value)
    began, tested = time.perf_counter(), len(text.ids.get("test", ())) > s["seq"]
    if tested:
        nll, positions = evaluate(s, trunk, head, text, "test")
        for name, value in (("test_nll", nll), ("test_positions", positions),
                            ("test_s", time.perf_counter() - began)):
            records.num(name, step, value)
    records.text("split", "test" if tested else "valid")


def train(words):
    s, records = settings(words), Records()
    if s["threads"]:
        torch.set_num_threads(s["threads"])
    torch.manual_seed(s["seed"])
    text = Text(s, records)
    trunk = Trunk(s)
    head = HEADS[s["head"]](s, trunk, None if s["head"] == "softmax" else text.counts(s["V"]))
    trainer, budget = Trainer(s, trunk, head), Budget(s["budget"])
    describe(s, records, trunk, head)
    # compiling is not training
    for _ in range(2 if s["mode"] == "compiled" else 0):
        trainer.batch(*text.micro_batch(s), 0.0, Laps())
        torch._foreach_zero_(trainer.grads)
    seconds = tokens = supervised = step = 0
    timed = (0, 0, 0)
    while budget.part(seconds, tokens, step) < 1:
        if step == WARM_STEPS:
            timed = seconds, tokens, supervised
        loss, norm, laps, positions = one_step(s, trainer, text,
                                               budget.part(seconds, tokens, step), step)
        took = sum(laps.spans.values())
        for phase, value in laps.spans.items():
            records.span(phase, step, value)
        for name, value in (("step_s", took), ("loss", loss), ("grad_norm", norm)):
            records.num(name, step, value)
        records.flush()
        if not math.isfinite(loss + norm):
            sys.exit(f"the loss or the gradient is not finite at step {step}")
        seconds, step = seconds + took, step + 1
        tokens += s["batch"] * s["seq"] * s["accum"]
        supervised += positions
    record_losses(s, records, trunk, head, text, step, seconds, tokens)
    took = seconds - timed[0]
    for name, value in (("tokens_per_s", (tokens - timed[1]) / took), ("steps", step),
                        ("supervised_per_s", (supervised - timed[2]) / took), ("tokens", tokens),
                        ("supervised", supervised), ("seconds", seconds),
                        ("peak_rss_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)):
        records.num(name, step, value)
    records.flush()
    return 0


# ---- parity ----

class Reference:
    def __init__(self, directory):
        self.dir = directory
        with open(os.path.join(directory, "manifest.json"), encoding="utf-8") as f:
            self.manifest = json.load(f)
        self.entries = {t["name"]: t for t in self.manifest["tensors"]}
        self.worst = {}

    def get(self, name):
        t = self.entries[name]
        values = numpy.fromfile(os.path.join(self.dir, t["file"]), t["dtype"])
        return torch.from_numpy(values.reshape(t["shape"]).copy())

    def see(self, group, name, value):
        want = self.get(name).double()
        got = value.detach().double().reshape(want.shape)
        error = float((got - want).abs().max() / want.abs().max().clamp_min(1e-30))
        if error >= self.worst.get(group, (-1, ""))[0]:
            self.worst[group] = error, name


LIMITS = {
    "f32": {"loss": 1e-5, "gradients": 1e-4, "gradient norm": 1e-5, "weights": 1e-5,
            "averages": 1e-5},
    # its products have 8 bits: a loss near that of float32, gradients of about the same direction
    "bf16": {"loss": 5e-3, "gradients": 2e-1, "gradient norm": 2e-2}}


def reference_settings(ref, words):
    c, o = ref.manifest["meta"]["config"], ref.manifest["meta"]["optimizer"]
    return settings(words + [
        f"d={c['d']}", f"V={c['vocab']}", f"inner={c['inner']}", f"recursions={c['recursions']}",
        f"conv_groups={c['conv_groups']}", f"conv_kernel={c['conv_kernel']}",
        "dilations=" + ",".join(map(str, c["dilations"])), f"smoothing={c['label_smoothing']}",
        f"zloss={c['zloss_coeff']}", f"lr={o['adamw_lr']}", f"beta1={o['adamw_beta1']}",
        f"beta2={o['adamw_beta2']}", f"decay_weight={o['weight_decay']}",
        f"lr_normuon={o['normuon_lr']}", f"clip={o['max_grad_norm']}", f"ema={o['ema_decay']}"])


def check(directory, words):
    """1: something differs by more than its limit"""
    ref = Reference(directory)
    s = reference_settings(ref, words)
    trunk = Trunk(s)
    named = trunk.named()
    with torch.no_grad():
        for name, p in named.items():
            p.copy_(ref.get("param/" + name))
    trainer = Trainer(s, trunk, Softmax(s, trunk, None))
    tok, y = ref.get("input_ids").long(), ref.get("targets").long()
    positions = ref.get("pos_indices").long() if "pos_indices" in ref.entries else None
    step = 0
    while f"s{step}/loss_total" in ref.entries:
        loss = trainer.batch(tok, y, positions, 1.0, Laps())
        ref.see("loss", f"s{step}/loss_total", torch.tensor(loss))
        for name, p in named.items() if step == 0 else ():
            ref.see("gradients", "grad/" + name, p.grad)
        norm = trainer.update(1.0, Laps())
        ref.see("gradient norm", f"s{step}/grad_norm", torch.tensor(norm))
        names = {id(p): name for name, p in named.items()}
        for p, average in zip(trainer.all, trainer.average):
            ref.see("weights", f"s{step}/after/{names[id(p)]}", p)
            ref.see("averages", f"s{step}/ema/{names[id(p)]}", average)
        step += 1
    bad = 0
    for group, limit in LIMITS[s["precision"]].items():
        error, name = ref.worst.get(group, (math.inf, "nothing was compared"))
        bad += not error <= limit
        print(f"{directory}: {s['mode']} {s['precision']}: {group}: worst {error:.1e} of the "
              f"largest, {name}" + ("" if error <= limit else f": expected at most {limit:.0e}"))
    return int(bad > 0)


def main(words):
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if words[0] == "check":
        set_words = [w for w in words[1:] if "=" in w]
        directories = [w for w in words[1:] if "=" not in w]
        if not directories:
            print("check: expected directories of reference tensors", file=sys.stderr)
            return 2
        return max(check(w, set_words) for w in directories)
    return train(words)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    sys.exit(main(sys.argv[1:]))
