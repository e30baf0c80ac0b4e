// The payload's shell: for tests of what people type at, where the image has no other. A part of
// payload.c, which is one file otherwise; not a verb of its own.

// ash [LINE …]: each line is a verb with its arguments; without any they are read from a person
// until "exit [CODE]". It is no verb with a file of its own: a test that wants a shell links it.
static int v_ash(int argc, char **argv) {
  if (argc > 1) return v_seq(argc, argv);
  static char line[4096];
  for (;;) {
    fputs("ash> ", stdout), fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 0;
    line[strcspn(line, "\r\n")] = 0;
    int code = 0;
    if (!strcmp(line, "exit") || sscanf(line, "exit %d", &code) == 1) return code;
    char *words[] = {argv[0], line, NULL};
    v_seq(2, words);
  }
}
