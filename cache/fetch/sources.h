// sources.h: all kinds of origins behind the seam of transport.h; the scheme of the URL decides which one answers.
#pragma once

#include <memory>

#include "cache/fetch/curl_transport.h"
#include "cache/fetch/transport.h"

namespace senv {

/// http, https and file.
Result<std::unique_ptr<NarinfoSource>> make_narinfo_source(const CurlLimits& limits);
/// http, https, file and store.
std::unique_ptr<NarSource> make_nar_source(const CurlLimits& limits);

}  // namespace senv
