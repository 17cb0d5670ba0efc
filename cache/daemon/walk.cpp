#include "cache/daemon/walk.h"

#include <algorithm>

namespace senv {

using What = Walk::Step::What;

Walk::Walk(std::vector<Candidate> candidates) {
    for (auto& one : candidates) {
        origins_.push_back({one.origin});
        origins_.back().place = std::move(one.store);
    }
}

Walk::Origin& Walk::of(OriginId id) {
    return *std::ranges::find(origins_, id, &Origin::id);
}

const Walk::Origin& Walk::of(OriginId id) const {
    return *std::ranges::find(origins_, id, &Origin::id);
}

/// What can be had of an origin now; nullopt: nothing.
std::optional<What> Walk::wish(Origin& origin) {
    if (origin.mark != Origin::Mark::fresh) return std::nullopt;
    if (!origin.place) return What::ask;
    if (!contents_) return std::nullopt;  // it has the bytes, or says so; somebody must sign for them first
    if (origin.claim && *origin.claim != *contents_) {
        const Error doubt = *origin.complaint;
        failed(origin.id, Error(doubt.kind(), doubt.what() + ", and is for other contents than the signed one"),
               Failure::lasting);
        return std::nullopt;
    }
    return What::fetch;
}

Walk::Step Walk::next(const std::function<Access(OriginId)>& access) {
    std::optional<Step> unwise;
    std::optional<Step> later;
    for (Origin& origin : origins_) {
        const auto what = wish(origin);
        if (!what) continue;
        switch (access(origin.id)) {
            case Access::open: return {*what, origin.id};
            case Access::unwise:
                if (!unwise) unwise = {*what, origin.id};
                break;
            case Access::later:
                if (!later) later = {What::wait, origin.id};
                break;
        }
    }
    if (unwise) return *unwise;
    for (const Origin& origin : origins_) {
        if (origin.mark == Origin::Mark::soon) return {What::rest, origin.id};
    }
    return later.value_or(Step{What::end});
}

void Walk::signed_for(OriginId origin, const Contents& contents, std::optional<Place> place,
                      std::optional<Error> no_place) {
    contents_ = contents;
    of(origin).tries = 0;
    if (!place) return failed(origin, *std::move(no_place), Failure::lasting);
    of(origin).place = std::move(place);
}

void Walk::claimed(OriginId origin, const Contents& contents, Place place, Error doubt) {
    Origin& one = of(origin);
    one.tries = 0;
    one.place = std::move(place);
    one.claim = contents;
    one.complaint = std::move(doubt);
}

void Walk::failed(OriginId origin, Error error, Failure failure) {
    Origin& one = of(origin);
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
