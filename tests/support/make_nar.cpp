// make_nar PATH > NAR: the archive of a file, folder or symbolic link.
#include <unistd.h>

#include <cstdio>

#include "cache/base/fd.h"
#include "tests/support/nar_writer.h"

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: make_nar PATH > NAR\n", stderr);
        return 2;
    }
    const auto done =
        senv::test::write_nar(argv[1], [](std::string_view bytes) { return senv::write_all(STDOUT_FILENO, bytes); });
    if (!done) std::fprintf(stderr, "make_nar: %s\n", done.error().what().c_str());
    return done ? 0 : 1;
}
