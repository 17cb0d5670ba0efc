// walk.h: one item's way through the origins: which one is asked next, and for what. Pure: no clock, no request.
//
// Shape    Trust and bytes are apart. First a narinfo that an authorised key signed is looked for, from origin to
//          origin in the configured order. Then the bytes are taken from the first origin, in the same order, that
//          has a place for them: the one that gave that narinfo; one before it that nobody authorised signs for, if
//          its narinfo is for the same contents; a mounted store, which has no narinfos. Origins that were not asked
//          yet are asked when the others' bytes were of no use. A round ends when no origin is left. If one of them
//          prepares the item, there is another round after a rest: of all but those whose answer was of no use for
//          good.
// Life     next() names a step; exactly one of the functions below it tells what came of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cache/base/result.h"
#include "cache/daemon/origin_id.h"
#include "cache/formats/hash.h"
#include "cache/formats/narinfo.h"

namespace senv {

/// Where an origin has the nar of an item.
struct Place {
    std::string url;  // absolute
    Compression compression = Compression::none;
};

/// What a narinfo says the bytes are.
struct Contents {
    Sha256 nar_hash;
    std::uint64_t nar_size = 0;
    bool operator==(const Contents&) const = default;
};

class Walk {
public:
    enum class Access : unsigned char {
        open,
        unwise,  // it was down lately: when no other is left
        later,   // it asked not to be asked now
    };
    struct Step {
        enum class What : unsigned char {
            ask,    // `origin` for its narinfo
            fetch,  // the nar from `origin`, at place()
            rest,   // a while, since `origin` prepares the item; then begin_round()
            wait,   // until an origin is no longer `later`; `origin` is one of them
            end,    // nobody has it: complaints() say why
        };
        What what;
        OriginId origin{};
    };
    enum class Failure : unsigned char {
        passing,  // not in this round
        lasting,  // never
        soon,     // it prepares the item
    };

    struct Candidate {
        OriginId origin;
        std::optional<Place> store{};  // where a mounted store has the item; none for a server
    };

    /// In order of preference.
    explicit Walk(std::vector<Candidate> candidates);

    Step next(const std::function<Access(OriginId)>& access);

    /// An authorised narinfo came; the last one counts. Without a place its `no_place` says why.
    void signed_for(OriginId origin, const Contents& contents, std::optional<Place> place,
                    std::optional<Error> no_place);
    /// A narinfo came that is not believed, for this reason.
    void claimed(OriginId origin, const Contents& contents, Place place, Error doubt);
    void failed(OriginId origin, Error error, Failure failure);

    /// Counts a try of the step that next() named last, the first being 1, until something came of it.
    unsigned count_try(OriginId origin) { return ++of(origin).tries; }
    unsigned tries(OriginId origin) const { return of(origin).tries; }
    void begin_round();

    const Place& place(OriginId origin) const { return *of(origin).place; }
    const Error& complaint(OriginId origin) const { return *of(origin).complaint; }
    /// The last one of each origin that has one, in order.
    std::vector<Error> complaints() const;

private:
    struct Origin {
        enum class Mark : unsigned char { fresh, out, soon, out_for_good };

        OriginId id;
        Mark mark = Mark::fresh;
        unsigned tries = 0;
        std::optional<Place> place{};
        std::optional<Contents> claim{};  // of one that is not believed
        std::optional<Error> complaint{};
    };

    std::optional<Step::What> wish(Origin& origin);
    Origin& of(OriginId id);
    const Origin& of(OriginId id) const;

    std::vector<Origin> origins_;
    std::optional<Contents> contents_;  // what an authorised key signed
};

}  // namespace senv
