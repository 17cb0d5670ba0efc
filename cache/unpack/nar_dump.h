// nar_dump.h: the nar of a tree on disk.
//
// Shape    As in formats/nar.h. Only regular files, directories and symlinks; the owner's execute bit counts, nothing else
//          of the mode, no times.
// Ownership  Reads 256 KiB at a time; the sink sees pieces that live until it returns.
// Errors   corrupt: something that no nar can hold, or a tree deeper than 256. io. missing: no such tree.
// Trust    The tree may be changed by others meanwhile: nothing outside it is read, and no FIFO is waited for.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "cache/base/byte_sink.h"
#include "cache/base/fd.h"

namespace senv {

enum class Modes : unsigned char {
    any,
    of_store,  // directories 0555, files 0444 or 0555; others are corrupt
};

/// `max_bytes`: a nar that is longer is an error, found before much more than that was read.
Result<void> dump_nar(const Fd& parent, const std::string& name, const ByteSink& sink,
                      std::uint64_t max_bytes = std::numeric_limits<std::uint64_t>::max(), Modes modes = Modes::any);

}  // namespace senv
