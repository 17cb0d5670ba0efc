#include "cache/daemon/helpers.h"

#include "cache/base/threads.h"

namespace senv {

namespace {

constexpr unsigned vetting_threads = 2;

}  // namespace

Helpers::Helpers(const ServerConfig& config, Store& store, AclFile& acl, NarinfoSource& narinfos, NarSource& nars,
                 Planner planner, std::function<void(HelperMessage)> post)
    : store_(store), acl_(acl), narinfos_(narinfos), post_(std::move(post)) {
    planning_.emplace(store_.state(), std::move(planner), [this](const StorePath& profile, auto plan) {
        post_(Planned{profile, std::move(plan)});
    });
    nicer(config.nice, [&] {
        vetters_.emplace("senvd-vetting", vetting_threads,
                         [this](const VetJob& job, const std::stop_token&) { judge(job); });
        keeper_.emplace("senvd-keeper", 1U, [this](KeeperJob job, const std::stop_token&) { keep(std::move(job)); });
        verifier_.emplace("senvd-verifier", 1U, [this](const ItemRecord& item, const std::stop_token& stop) {
            auto result = contained([&] { return store_.check(item, stop); });
            post_(Checked{item.path, std::move(result)});
        });
        pool_.emplace(config.downloads, store_, nars, [this](const FetchJob& job, FetchResult result) {
            post_(NarFetched{job.narinfo->path(), job.origin, std::move(result)});
        });
    });
}

Helpers::~Helpers() {
    pool_.reset();
    planning_->request_stop();
    vetters_->request_stop();
    keeper_->request_stop();
    verifier_->request_stop();
    planning_.reset();
    vetters_.reset();
    keeper_.reset();
    verifier_.reset();
}

void Helpers::ask(const Supply::AskNarinfo& question) {
    // The answer may come when this is gone: it goes into a box of its own.
    narinfos_.ask(question.url, question.item, [box = vetters_->box(), question](NarinfoAnswer answer) {
        box->push(VetJob{question.origin, question.url, question.item, std::move(answer)});
    });
}

void Helpers::judge(const VetJob& job) {
    auto answer = [&]() -> std::optional<std::variant<Vetted, Refusal>> {
        if (!job.answer) return std::nullopt;
        if (const auto* refusal = std::get_if<Refusal>(&*job.answer)) return *refusal;
        auto acl = acl_.current();
        if (!acl) return Refusal{Outcome::unusable, std::move(acl).error(), std::nullopt};
        try {
            return vet(job.url, job.item, std::get<std::string>(*job.answer), **acl);
        } catch (const std::exception& e) {
            return Refusal{Outcome::unusable, Error(Kind::bug, e.what()), std::nullopt};
        }
    }();
    post_(NarinfoVetted{job.item, job.origin, std::move(answer), job.is_large});
}

void Helpers::keep(KeeperJob job) {
    if (auto* removal = std::get_if<RemoveJob>(&job)) {
        { const Staging gone = std::move(removal->grave); }
        return post_(Removed{std::move(removal->then)});
    }
    auto result = contained([&]() -> Result<void> {
        SENV_TRY(store_.sync());
        if (!keeper_catalog_) keeper_catalog_ = SENV_TRY(Catalog::open(store_.state().path + "/db"));
        return keeper_catalog_->checkpoint();
    });
    post_(Synced{std::move(std::get<SyncJob>(job).paths), std::move(result)});
}

}  // namespace senv
