#pragma once

#include "frontend/sema/elaborator.h"

namespace gradc::sema {

// The train block: what is minimised how, checked key by key.
struct Training {
  TrainSpec spec;
  Symbol model;
  std::vector<Objective> objectives;
};

// Overrides are expressions by key ("batch"); `inputs` are those of the model.
Training read_train(const ast::Train& train, const ast::Model& model, const std::map<std::string, const ast::Expr*>& overrides,
                    Elaborator& sema);

std::vector<std::string> train_keys();

}  // namespace gradc::sema
