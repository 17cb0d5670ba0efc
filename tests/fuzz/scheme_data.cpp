// Any text as Scheme data: what is read reads back the same from what is written. And as a manifest and as a channel file.
#include "provisioner/scheme_data.h"

#include <cstdint>

#include "provisioner/resolve/closed.h"
#include "tests/fuzz/require.h"

namespace {

std::string write(const senv::Datum& datum) {
    switch (datum.type) {
        case senv::Datum::Type::list: break;
        case senv::Datum::Type::string: return senv::scheme_string(datum.text);
        case senv::Datum::Type::keyword: return "#:" + datum.text;
        case senv::Datum::Type::boolean: return datum.truth ? "#t" : "#f";
        case senv::Datum::Type::character: return "#\\" + datum.text;
        case senv::Datum::Type::symbol:
        case senv::Datum::Type::number: return datum.text;
    }
    std::string text = "(";
    for (const senv::Datum& item : datum.items) text += write(item) + " ";
    if (!datum.tail.empty()) text += ". " + write(datum.tail[0]);
    return text + ")";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    (void)senv::why_manifest_is_open(text);
    (void)senv::why_channels_are_open(text);
    const auto first = senv::read_scheme(text);
    if (!first) return 0;
    std::string written;
    for (const senv::Datum& datum : *first) written += write(datum) + "\n";
    const auto second = senv::read_scheme(written);
    REQUIRE(second && second->size() == first->size());
    std::string again;
    for (const senv::Datum& datum : *second) again += write(datum) + "\n";
    REQUIRE(again == written);
    return 0;
}
