/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `convert`: models in the forms that other programs read and write. */
#include "harness/cli/cmd.h"
#include "harness/convert/gguf.h"
#include "harness/util/options.h"
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "usage: eightysix convert hf IN OUT\n"
    "       eightysix convert gguf IN OUT [--type f32|f16|tq2_0]\n\n"
    "Checkpoints of this program from and to those of others. What IN is says which way: a\n"
    "directory or a GGUF is read into the checkpoint OUT, a checkpoint is written to OUT.\n\n"
    "  hf   a directory as on Hugging Face: config.json, model.safetensors (or its parts with\n"
    "       model.safetensors.index.json; F32, F16 or BF16; F32 is written) and tokenizer.json,\n"
    "       of model_type\n"
    "         hgrn_bit    MatMul-free LM     model=mmfree, head_quant=bitlinear, act=int8\n"
    "         llama       Transformer++      model=transformer quant=none\n"
    "         flashlm_v4  FlashLM v4 \"Bolt\"  model=bolt\n"
    "       A key of config.json that would change what is computed, a tensor that is missing,\n"
    "       has another shape or is not known is refused. Without tokenizer.json there are ids\n"
    "       only. hgrn_bit is checked against the original code (check parity=DIR, of a directory\n"
    "       with expected.json); llama and flashlm_v4 are checked by their round trip only.\n"
    "  gguf of model=transformer, for llama.cpp: architecture llama, without a tokenizer.\n"
    "         --type f32    all weights as they are (default)\n"
    "         --type f16    matrices in half precision\n"
    "         --type tq2_0  of quant=absmean: ternary matrices in two bits, the others f16\n"
    "       With quant=absmean every linear layer has a norm of its own, which llama.cpp has in\n"
    "       no architecture: such files are of an architecture 'llama-bitlinear', which only\n"
    "       this program reads.\n\n"
    "  eightysix convert hf MMfreeLM-370M mmfree.safetensors\n"
    "  eightysix generate mmfree.safetensors --prompt 'The cell is'\n"
    "  eightysix convert hf bolt.safetensors bolt-published\n\n"
    "exit code: 0 converted, 2 bad usage or input\n";

static int convert_is_directory(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static GgufType convert_type(const char *name)
{
    if (!name || !strcmp(name, "f32")) return GGUF_AS_F32;
    if (strcmp(name, "f16") && strcmp(name, "tq2_0"))
        die("convert: --type '%s'; expected f32, f16 or tq2_0", name);
    return *name == 'f' ? GGUF_AS_F16 : GGUF_AS_TQ2_0;
}

int convert_main(int argc, char **argv)
{
    const char *type = NULL;
    const Option options[] = { { "--type", &type, NULL }, { 0 } };
    const int n = options_read(argc, argv, options, help);
    if (n != 3) die("convert: expected a form, IN and OUT; see eightysix convert --help");
    const char *form = argv[1], *in = argv[2], *out = argv[3], *why = NULL;
    Arena a = arena_new((size_t)1 << 32);
    const int hf = !strcmp(form, "hf"), reads = hf ? convert_is_directory(in) : gguf_is(in);
    if (!hf && strcmp(form, "gguf")) die("convert: no form '%s'; expected hf or gguf", form);
    if (type && (hf || reads)) die("convert: --type is of a GGUF that is written");
    if (hf) why = reads ? hf_import(in, out, &a) : hf_export(in, out, &a);
    else if (reads) why = gguf_import(in, out, &a);
    else why = gguf_export(in, out, convert_type(type), &a);
    if (why) die("convert: %s", why);
    arena_drop(&a);
    return 0;
}
