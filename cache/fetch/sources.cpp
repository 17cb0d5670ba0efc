#include "cache/fetch/sources.h"

#include <utility>

#include "cache/fetch/file_transport.h"
#include "cache/formats/origin.h"

namespace senv {

namespace {

class AllNarinfos final : public NarinfoSource {
public:
    AllNarinfos(std::unique_ptr<NarinfoSource> servers, std::unique_ptr<NarinfoSource> folders)
        : servers_(std::move(servers)), folders_(std::move(folders)) {}

    void ask(const std::string& origin, const StorePath& item, std::function<void(NarinfoAnswer)> answer) override {
        (kind_of(origin) == OriginKind::server ? servers_ : folders_)->ask(origin, item, std::move(answer));
    }

private:
    std::unique_ptr<NarinfoSource> servers_;
    std::unique_ptr<NarinfoSource> folders_;
};

class AllNars final : public NarSource {
public:
    AllNars(std::unique_ptr<NarSource> servers, std::unique_ptr<NarSource> folders)
        : servers_(std::move(servers)), folders_(std::move(folders)) {}

    std::optional<Refusal> fetch(const NarRequest& request, const ByteSink& sink, std::stop_token stop) override {
        const bool is_server = kind_of(request.url) == OriginKind::server;
        return (is_server ? servers_ : folders_)->fetch(request, sink, std::move(stop));
    }

private:
    std::unique_ptr<NarSource> servers_;
    std::unique_ptr<NarSource> folders_;
};

}  // namespace

Result<std::unique_ptr<NarinfoSource>> make_narinfo_source(const CurlLimits& limits) {
    auto servers = SENV_TRY(make_curl_narinfo_source(limits));
    return std::unique_ptr<NarinfoSource>(
        std::make_unique<AllNarinfos>(std::move(servers), make_file_narinfo_source(limits.stall)));
}

std::unique_ptr<NarSource> make_nar_source(const CurlLimits& limits) {
    return std::make_unique<AllNars>(make_curl_nar_source(limits), make_file_nar_source(limits.stall));
}

}  // namespace senv
