// senv-hello: says which version it is and from which file it runs. The test channel has it as 1.0 and as 2.0.
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    char self[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) {
        perror("senv-hello: readlink /proc/self/exe");
        return 1;
    }
    self[length] = '\0';
    printf("senv-hello %s %s\n", VERSION, self);
    return fflush(stdout) == 0 ? 0 : 1;
}
