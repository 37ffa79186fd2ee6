#include "frontend/cli/options.h"

int main(int argc, char** argv) { return gradc::cli::main(argc, argv); }
