// bin/guile of a seed (tests/guix/seeds.scm): runs Debian's Guile from the folder it was copied to, with the libraries
// copied beside it, whatever the machine has. Static, because no loader can be assumed; PREFIX is the seed's store path.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char** argv) {
    char* args[argc + 6];
    int n = 0;
    args[n++] = PREFIX "/lib/ld-linux-x86-64.so.2";
    args[n++] = "--library-path";
    args[n++] = PREFIX "/lib";
    args[n++] = "--argv0";
    args[n++] = PREFIX "/bin/guile";
    args[n++] = PREFIX "/bin/.guile-real";
    for (int i = 1; i < argc; i++) args[n++] = argv[i];
    args[n] = NULL;
    setenv("GUILE_SYSTEM_PATH", PREFIX "/share/guile/3.0", 1);
    setenv("GUILE_SYSTEM_COMPILED_PATH", PREFIX "/lib/guile/3.0/ccache", 1);
    setenv("GUILE_SYSTEM_EXTENSIONS_PATH", PREFIX "/lib/guile/3.0/extensions:" PREFIX "/lib", 1);
    execv(args[0], args);
    perror("cannot run " PREFIX "/bin/.guile-real");
    return 127;
}
