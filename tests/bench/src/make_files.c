/* make_files FOLDER LAYOUT: creates the folders, files and links that LAYOUT lists, as anything that unpacks nars has
 * to, and prints the CPU seconds that this took. One thread, paths relative to FOLDER, contents from a buffer.
 *
 * LAYOUT has lines "D PATH", "F SIZE EXECUTABLE PATH" and "L PATH<TAB>TARGET", a folder before what is in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 256 * 1024 };

static void check(int failed, const char *what) {
    if (!failed) return;
    fprintf(stderr, "make_files: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double cpu(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    static char block[BLOCK];
    char *line = NULL, *rest;
    size_t room = 0;
    ssize_t length;
    if (argc != 3) return 2;
    FILE *layout = fopen(argv[2], "r");
    check(!layout, argv[2]);
    check(chdir(argv[1]), argv[1]);
    memset(block, 'x', sizeof block);
    const double begin = cpu();
    while ((length = getline(&line, &room, layout)) > 0) {
        line[length - 1] = 0;
        if (line[0] == 'D') {
            check(mkdir(line + 2, 0755), line + 2);
        } else if (line[0] == 'L') {
            rest = strchr(line, '\t');
            *rest = 0;
            check(symlink(rest + 1, line + 2), line + 2);
        } else {
            unsigned long long size = strtoull(line + 2, &rest, 10);
            const long executable = strtol(rest, &rest, 10);
            const int fd = open(rest + 1, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, executable ? 0555 : 0444);
            check(fd < 0, rest + 1);
            while (size > 0) {
                const ssize_t n = write(fd, block, size < BLOCK ? (size_t)size : BLOCK);
                check(n <= 0, rest + 1);
                size -= (unsigned long long)n;
            }
            check(close(fd), rest + 1);
        }
    }
    printf("%.6f\n", cpu() - begin);
    return 0;
}
