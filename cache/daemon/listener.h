// listener.h: the socket that senvd listens at. Mode 0666: who may ask what is decided for each request.
#pragma once

#include <string>

#include "cache/base/fd.h"
#include "cache/base/result.h"

namespace senv {

/// Listens at `path`. A socket there on which nobody answers is replaced. Errors: busy when somebody does.
Result<Fd> listen_at(const std::string& path);

}  // namespace senv
