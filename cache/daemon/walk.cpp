#include "cache/daemon/walk.h"

namespace senv {

using What = Walk::Step::What;

Walk::Walk(std::vector<std::optional<Place>> stores) {
    for (auto& place : stores) origins_.emplace_back().place = std::move(place);
}

/// What can be had of an origin now; nullopt: nothing.
std::optional<What> Walk::wish(std::size_t index) {
    Origin& origin = origins_[index];
    if (origin.mark != Origin::Mark::fresh) return std::nullopt;
    if (!origin.place) return What::ask;
    if (!contents_) return std::nullopt;  // it has the bytes, or says so; somebody must sign for them first
    if (origin.claim && *origin.claim != *contents_) {
        const Error doubt = *origin.complaint;
        failed(index, Error(doubt.kind(), doubt.what() + ", and is for other contents than the signed one"),
               Failure::lasting);
        return std::nullopt;
    }
    return What::fetch;
}

Walk::Step Walk::next(const std::function<Access(std::size_t)>& access) {
    std::optional<Step> unwise;
    std::optional<Step> later;
    for (std::size_t i = 0; i < origins_.size(); ++i) {
        const auto what = wish(i);
        if (!what) continue;
        switch (access(i)) {
            case Access::open: return {*what, i};
            case Access::unwise:
                if (!unwise) unwise = {*what, i};
                break;
            case Access::later:
                if (!later) later = {What::wait, i};
                break;
        }
    }
    if (unwise) return *unwise;
    for (std::size_t i = 0; i < origins_.size(); ++i) {
        if (origins_[i].mark == Origin::Mark::soon) return {What::rest, i};
    }
    return later.value_or(Step{What::end});
}

void Walk::signed_for(std::size_t origin, const Contents& contents, std::optional<Place> place,
                      std::optional<Error> no_place) {
    contents_ = contents;
    origins_[origin].tries = 0;
    if (!place) return failed(origin, *std::move(no_place), Failure::lasting);
    origins_[origin].place = std::move(place);
}

void Walk::claimed(std::size_t origin, const Contents& contents, Place place, Error doubt) {
    origins_[origin].tries = 0;
    origins_[origin].place = std::move(place);
    origins_[origin].claim = contents;
    origins_[origin].complaint = std::move(doubt);
}

void Walk::failed(std::size_t origin, Error error, Failure failure) {
    Origin& one = origins_[origin];
    one.tries = 0;
    one.complaint = std::move(error);
    switch (failure) {
        case Failure::passing: one.mark = Origin::Mark::out; break;
        case Failure::lasting: one.mark = Origin::Mark::out_for_good; break;
        case Failure::soon: one.mark = Origin::Mark::soon; break;
    }
}

void Walk::begin_round() {
    for (Origin& origin : origins_) {
        if (origin.mark != Origin::Mark::out_for_good) origin.mark = Origin::Mark::fresh;
        origin.tries = 0;
    }
}

std::vector<Error> Walk::complaints() const {
    std::vector<Error> all;
    for (const Origin& origin : origins_) {
        if (origin.complaint) all.push_back(*origin.complaint);
    }
    return all;
}

}  // namespace senv
