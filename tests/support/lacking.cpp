// lacking LAYERS COMMAND…: runs COMMAND as on a kernel without these layers of confinement: "landlock", "seccomp" or
// "landlock,seccomp".
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    const std::string layers = argv[1];
    const scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
    int failed = filter == nullptr ? -1 : 0;
    if (failed == 0 && layers.find("landlock") != std::string::npos) {
        constexpr int landlock_create_ruleset = 444;
        failed = ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), landlock_create_ruleset, 0);
    }
    if (failed == 0 && layers.find("seccomp") != std::string::npos) {
        failed = ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(seccomp), 0);
        if (failed == 0) {
            failed = ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1,
                                        SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP));
        }
    }
    // It is inherited, and does not forbid what this filter itself needs: it is loaded last.
    if (failed == 0) failed = ::seccomp_load(filter);
    if (failed != 0) {
        std::fprintf(stderr, "lacking: cannot make a filter: %d\n", failed);
        return 1;
    }
    ::execvp(argv[2], argv + 2);
    std::perror("lacking");
    return 1;
}
