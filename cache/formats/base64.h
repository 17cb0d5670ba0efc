// base64.h: base64 with the standard alphabet and padding, as in narinfo signatures and s-expressions.
//
// Errors   corrupt, with the offset. Line breaks, missing padding, bytes after the padding and non-zero unused bits are
//          refused, so that one value has one spelling.
// Source   RFC 4648, section 4.
#pragma once

#include <string>
#include <string_view>

#include "cache/base/result.h"

namespace senv {

std::string base64_encode(std::string_view bytes);
Result<std::string> base64_decode(std::string_view text);

}  // namespace senv
