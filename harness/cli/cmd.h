/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cmd.h -- the commands: each takes the arguments after its own name and returns the exit code
 * (harness/util/exit.h). */
#ifndef CMD_H
#define CMD_H

int bench_main   (int argc, char **argv);
/* hidden: trains one cell; writes records to descriptor 3, or stdout */
int cell_main    (int argc, char **argv);
int certify_main (int argc, char **argv);
int check_main   (int argc, char **argv);
int claims_main  (int argc, char **argv);
int compare_main (int argc, char **argv);
int convert_main (int argc, char **argv);
int eval_main    (int argc, char **argv);
int export_main  (int argc, char **argv);
int generate_main(int argc, char **argv);
int headlab_main (int argc, char **argv);
int list_main    (int argc, char **argv);
int merge_main   (int argc, char **argv);
int paper_main   (int argc, char **argv);
int plot_main    (int argc, char **argv);
int regress_main (int argc, char **argv);
int regress_sample_main(int argc, char **argv);   /* hidden: what the gate runs of both builds */
int replay_main  (int argc, char **argv);
int runs_main    (int argc, char **argv);
int sweep_main   (int argc, char **argv);
int tokenize_main(int argc, char **argv);
int tokenize_fetch_main(int argc, char **argv);   /* `tokenize fetch` */
int tokenize_tokens_main(int argc, char **argv);  /* `tokenize tokens` */
int train_main   (int argc, char **argv);
int watch_main   (int argc, char **argv);
int why_main     (int argc, char **argv);
#endif
