#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "compiler/support/source.h"
#include "compiler/support/symbol.h"

namespace gradc {

using OriginId = TypedId<struct OriginTag>;
using ProvenanceId = TypedId<struct ProvenanceTag>;

// A place in source text, and the call through which it was reached: `caller` is the origin of the call expression
// (for `image |> Dense(128)`: the user's line), so the chain leads from the library's line to the user's.
struct Origin {
  SourceSpan span;
  OriginId caller;
  Symbol callee;  // the function or layer whose body holds the span; empty at top level
  auto operator<=>(const Origin&) const = default;
};

// How a derived node came to be: by `rule` ("vjp of mul, operand 0"), as the adjoint of `primal` (a user's name or "%12 mul").
struct Derivation {
  Symbol primal;
  Symbol rule;
  auto operator<=>(const Derivation&) const = default;
};

// Where a node comes from. Sets are sorted and without duplicates; origins are never empty in a finished graph.
struct Provenance {
  std::vector<OriginId> origins;
  std::vector<Derivation> derivations;
  std::vector<Symbol> rewrites;  // names of the rewrite rules it went through
  auto operator<=>(const Provenance&) const = default;
};

// Interned origins and provenance sets. Ids stay valid while the table grows; tables are copied along with the graph
// from stage to stage, so that an id means the same in each.
class ProvenanceTable {
 public:
  OriginId add(const Origin& origin);
  ProvenanceId add(Provenance p);  // sorts and interns
  ProvenanceId from(OriginId origin) { return add({.origins = {origin}, .derivations = {}, .rewrites = {}}); }
  ProvenanceId unite(ProvenanceId a, ProvenanceId b);  // a missing side gives the other
  ProvenanceId derived(ProvenanceId a, const Derivation& d);
  ProvenanceId rewritten(ProvenanceId a, Symbol rule);

  const Origin& origin(OriginId id) const { return origins_[id.at()]; }
  const Provenance& get(ProvenanceId id) const { return sets_[id.at()]; }
  size_t origin_count() const { return origins_.size(); }
  size_t size() const { return sets_.size(); }
  // The span in the user's own file that an origin leads to, through its chain of callers; missing if there is none.
  SourceSpan user_span(OriginId id, const SourceManager& sources) const;

 private:
  std::vector<Origin> origins_;
  std::vector<Provenance> sets_;
  std::map<Origin, OriginId> origin_ids_;
  std::map<Provenance, ProvenanceId> set_ids_;
};

}  // namespace gradc
