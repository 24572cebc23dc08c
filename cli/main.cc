#include "twostep/cli/twostep_main.h"

int main(int argc, char** argv) { return twostep::TwostepMain(argc, argv); }
