#include "cache/daemon/fetch_item.h"

#include "cache/formats/nar.h"
#include "cache/unpack/tree_writer.h"
#include "cache/verify/digest.h"

namespace senv {

namespace {

FetchResult failed(Error error) {
    return {Fetched::failed, std::move(error), std::nullopt};
}

FetchResult refused(const FetchJob& job, const std::string& cause) {
    return {Fetched::refused, Error(Kind::corrupt, shown_url(job.request.url) + ": its nar " + cause), std::nullopt};
}

FetchResult of_refusal(Refusal refusal, bool asked_to_stop) {
    const auto outcome = [&] {
        switch (refusal.outcome) {
            case Outcome::absent: return Fetched::absent;
            case Outcome::soon: return Fetched::soon;
            case Outcome::again: return Fetched::again;
            case Outcome::unreachable: return Fetched::unreachable;
            case Outcome::stopped: return asked_to_stop ? Fetched::stopped : Fetched::refused;
            case Outcome::unusable: break;
        }
        return Fetched::refused;
    };
    return {outcome(), std::move(refusal.error), refusal.wished};
}

FetchResult fetch(const Store& store, NarSource& source, const FetchJob& job) {
    const Narinfo& narinfo = *job.narinfo;
    job.transfer->begun = true;
    const std::string& base = narinfo.path().base();
    auto staging = store.new_staging();
    if (!staging) return failed(std::move(staging).error());

    TreeWriter writer(staging->dir(), base);
    NarReader reader(writer, narinfo.nar_size());
    Sha256Stream digest;
    std::optional<Error> stopped_by;
    auto refusal = source.fetch(
        job.request,
        [&](std::span<const std::byte> bytes) -> Result<void> {
            auto fed = reader.feed(bytes);
            if (!fed) {
                stopped_by = fed.error();
                return fed;
            }
            digest.update(bytes);
            job.transfer->bytes.fetch_add(bytes.size(), std::memory_order_relaxed);
            return {};
        },
        job.transfer->stop.get_token());

    if (stopped_by) {
        // The reader's own complaints are about the server's bytes; all others come from the writer.
        if (stopped_by->kind() == Kind::corrupt) return refused(job, "is damaged: " + stopped_by->what());
        return failed(std::move(*stopped_by).in("cannot unpack '" + narinfo.path().absolute() + "'"));
    }
    if (refusal) return of_refusal(*std::move(refusal), job.transfer->stop.stop_requested());
    if (auto finished = reader.finish(); !finished) return refused(job, "is damaged: " + finished.error().what());
    if (reader.offset() != narinfo.nar_size()) {
        return refused(job, "has " + std::to_string(reader.offset()) + " bytes, " + std::to_string(narinfo.nar_size()) +
                                " were signed");
    }
    if (digest.finish() != narinfo.nar_hash()) return refused(job, "has another hash than the signed one");
    if (auto placed = store.place(*staging, narinfo); !placed) return failed(std::move(placed).error());
    return {Fetched::placed, std::nullopt, std::nullopt, writer.room() + room_of_file(narinfo.text().size())};
}

}  // namespace

FetchResult fetch_item(const Store& store, NarSource& source, const FetchJob& job) {
    try {
        return fetch(store, source, job);
    } catch (const std::exception& e) {
        return failed(Error(Kind::bug, e.what()));
    }
}

}  // namespace senv
