// sign_narinfo --key FILE < TEXT > NARINFO: adds the Signature line that `guix publish` would. The text is what gets signed;
// URL, Compression and FileSize lines belong after the output.
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "cache/base/fd.h"
#include "tests/support/signer.h"

namespace {

senv::Result<void> run(const char* key_file) {
    constexpr std::size_t limit = 65536;
    const std::string key = SENV_TRY(senv::read_small_file(key_file, limit));
    const std::string text = SENV_TRY(senv::read_to_end(STDIN_FILENO, limit, "standard input"));
    return senv::write_all(STDOUT_FILENO, SENV_TRY(senv::test::signed_narinfo(text, key)));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3 || std::string_view(argv[1]) != "--key") {
        std::fputs("usage: sign_narinfo --key FILE < TEXT > NARINFO\n", stderr);
        return 2;
    }
    const senv::Result<void> done = run(argv[2]);
    if (!done) std::fprintf(stderr, "sign_narinfo: %s\n", done.error().what().c_str());
    return done ? 0 : 1;
}
