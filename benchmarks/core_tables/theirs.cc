// SPDX-License-Identifier: Apache-2.0
// The same by Abseil's flat_hash_map, with a list in order of use where entries are dropped; with -DLOOSE by
// std::map, the control.
#include <cstdint>
#include <list>
#include <malloc.h>
#include <map>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

#include "keys.h"

namespace {

struct Flow : flow {
    explicit Flow(const flow &f) : flow(f) {}
    bool operator==(const Flow &o) const { return source == o.source && port == o.port; }
    bool operator<(const Flow &o) const { return source != o.source ? source < o.source : port < o.port; }
    template <typename H> friend H AbslHashValue(H h, const Flow &f) { return H::combine(std::move(h), f.source, f.port); }
};

#ifdef LOOSE
using View = std::string;
template <typename Key, typename Value> struct Map : std::map<Key, Value> {
    void reserve(size_t) {}
};
#else
using View = absl::string_view;
template <typename Key, typename Value> using Map = absl::flat_hash_map<Key, Value>;
#endif

// At most so many entries; the one used longest ago makes room.  The index refers to the keys in the list.
template <typename Key, typename Ask> class Recent {
    struct Entry {
        Key key;
        int64_t value;
    };
    std::list<Entry> entries_;  // used longest ago first
    Map<Ask, typename std::list<Entry>::iterator> index_;

public:
    int64_t renew(const Ask &key, int64_t value, size_t room)
    {
        if (index_.empty()) {
            index_.reserve(room);
        }
        auto found = index_.find(key);
        if (found != index_.end()) {
            entries_.splice(entries_.end(), entries_, found->second);
            return found->second->value = value;
        }
        if (index_.size() == room) {
            index_.erase(Ask(entries_.front().key));
            entries_.splice(entries_.end(), entries_, entries_.begin());
            entries_.back().key = Key(key);
            entries_.back().value = value;
        } else {
            entries_.push_back({Key(key), value});
        }
        index_.emplace(Ask(entries_.back().key), std::prev(entries_.end()));
        return value;
    }
};

Map<std::string, int64_t> by_text;
Map<Flow, int64_t> by_flow;
Recent<std::string, View> recent_text;
Recent<Flow, Flow> recent_flow;
size_t before;
uint32_t room;

size_t held()
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

void make_tables(uint32_t count)
{
    by_text.reserve(count);
    by_flow.reserve(count);
    before = held();
    room = count;
}

View view(const text *key) { return {key->data, key->size}; }

void put_text(const text *key, int64_t value) { by_text.emplace(view(key), value); }
int64_t get_text(const text *key) { return by_text.find(view(key))->second; }
int64_t renew_text(const text *key, int64_t value) { return recent_text.renew(view(key), value, room); }
uint64_t bytes_text() { return held() - before; }

void put_flow(const flow *key, int64_t value) { by_flow.emplace(Flow(*key), value); }
int64_t get_flow(const flow *key) { return by_flow.find(Flow(*key))->second; }
int64_t renew_flow(const flow *key, int64_t value) { return recent_flow.renew(Flow(*key), value, room); }
uint64_t bytes_flow() { return held() - before; }

}  // namespace

#include "loads.h"
