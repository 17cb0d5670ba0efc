// file_transport.h: origins that are folders: a static binary cache (file), a mounted /gnu/store (store).
//
// Trust    A folder is as foreign as a server. What is opened lies below it, is a regular file, and is reached through no
//          symbolic link; in a mounted store, links are items' contents, and read as such. Nothing here waits for a FIFO.
// Limits   A narinfo: max_narinfo_bytes. A compressed nar: as from a server. A tree: no more than the nar's size, nor more
//          names in a directory than fit into it.
// Errors   absent: no such file. unreachable: the folder itself cannot be opened, or gives nothing for `stall`: a mount that
//          hangs. A thread that hangs in a system call is left alone; a few may, then everything is refused until they are
//          back. The destructors wait for them.
#pragma once

#include <chrono>
#include <memory>

#include "cache/fetch/transport.h"

namespace senv {

/// file only.
std::unique_ptr<NarinfoSource> make_file_narinfo_source(std::chrono::seconds stall);
/// file and store.
std::unique_ptr<NarSource> make_file_nar_source(std::chrono::seconds stall);

}  // namespace senv
