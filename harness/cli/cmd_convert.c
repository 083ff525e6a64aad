/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `convert`: models in the forms that other programs read and write. */
#include "harness/cli/cmd.h"
#include "harness/convert/hf.h"
#include "harness/util/options.h"
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "usage: eightysix convert hf IN OUT\n\n"
    "Checkpoints of this program from and to published ones. What IN is says which way: a\n"
    "directory is read into the checkpoint OUT, a checkpoint is written into the directory OUT.\n\n"
    "  hf   a directory as on Hugging Face: config.json, model.safetensors (or its parts with\n"
    "       model.safetensors.index.json; F32, F16 or BF16; F32 is written) and tokenizer.json,\n"
    "       of model_type\n"
    "         hgrn_bit    MatMul-free LM     model=mmfree, head_quant=bitlinear, act=int8\n"
    "         llama       Transformer++      model=transformer quant=none\n"
    "         flashlm_v4  FlashLM v4 \"Bolt\"  model=bolt\n"
    "       A key of config.json that would change what is computed, a tensor that is missing,\n"
    "       has another shape or is not known is refused. Without tokenizer.json there are ids\n"
    "       only. hgrn_bit is checked against the original code (check parity=DIR, of a directory\n"
    "       with expected.json); llama and flashlm_v4 are checked by their round trip only.\n\n"
    "  eightysix convert hf MMfreeLM-370M mmfree.safetensors\n"
    "  eightysix generate mmfree.safetensors --prompt 'The cell is'\n"
    "  eightysix convert hf bolt.safetensors bolt-published\n\n"
    "exit code: 0 converted, 2 bad usage or input\n";

static int convert_is_directory(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int convert_main(int argc, char **argv)
{
    const Option options[] = { { 0 } };
    const int n = options_read(argc, argv, options, help);
    if (n != 3) die("convert: expected a form, IN and OUT; see eightysix convert --help");
    const char *form = argv[1], *in = argv[2], *out = argv[3], *why = NULL;
    Arena a = arena_new((size_t)1 << 32);
    if (strcmp(form, "hf")) die("convert: no form '%s'; expected hf", form);
    why = convert_is_directory(in) ? hf_import(in, out, &a) : hf_export(in, out, &a);
    if (why) die("convert: %s", why);
    arena_drop(&a);
    return 0;
}
