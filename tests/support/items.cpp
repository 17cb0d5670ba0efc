#include "tests/support/items.h"

#include <stdexcept>

#include "cache/unpack/tree_writer.h"
#include "cache/verify/digest.h"
#include "tests/support/golden.h"
#include "tests/support/nar_writer.h"
#include "tests/support/signer.h"

namespace senv::test {

namespace {

template <class T>
T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().what());
    return std::move(result).value();
}

}  // namespace

StorePath path_of(std::string_view name) {
    const Sha256 hash = sha256_of(name);
    return must(StorePath::parse(nix_base32_encode(std::span(hash.bytes).first(20)) + "-" + std::string(name)));
}

MadeItem make_item(std::string_view name, const std::vector<StorePath>& references, std::string_view text,
                   std::uint64_t said_size) {
    std::string nar;
    for (const std::string_view word : {"nix-archive-1", "(", "type", "directory", "entry", "(", "name", "text", "node",
                                        "(", "type", "regular", "contents"}) {
        nar += nar_string(word);
    }
    nar += nar_string(text);
    for (int i = 0; i < 3; ++i) nar += nar_string(")");

    const StorePath path = path_of(name);
    std::string fields = "StorePath: " + path.absolute() + "\nNarHash: " + sha256_of(nar).prefixed() +
                         "\nNarSize: " + std::to_string(said_size == 0 ? nar.size() : said_size) + "\nReferences:";
    for (const auto& reference : references) fields += " " + reference.base();
    if (references.empty()) fields += " ";
    const std::string narinfo = must(signed_narinfo(fields + "\n", golden("narinfo/signing-key.sec"))) + "URL: nar/" +
                                path.base() + "\nCompression: none\n";
    return {must(Narinfo::parse(narinfo)), nar};
}

std::string write_acl(const std::string& folder) {
    std::string file = folder + "/acl";
    const auto written = replace_file(file, golden("narinfo/acl"), 0644);
    if (!written) throw std::runtime_error(written.error().what());
    return file;
}

Staging stage(const Store& store, const MadeItem& item) {
    Staging staging = must(store.new_staging());
    TreeWriter writer(staging.dir(), item.path().base());
    NarReader reader(writer, item.nar.size());
    auto done = reader.feed(std::as_bytes(std::span(item.nar)));
    if (done) done = reader.finish();
    if (!done) throw std::runtime_error(done.error().what());
    return staging;
}

}  // namespace senv::test
