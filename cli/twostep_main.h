#ifndef CLI_TWOSTEP_MAIN_H_
#define CLI_TWOSTEP_MAIN_H_

namespace twostep {

// The twostep command, for programs that register policies of their own before
// they call it: to its command line these are like any others. Returns the exit
// status.
int TwostepMain(int argc, char** argv);

}  // namespace twostep

#endif  // CLI_TWOSTEP_MAIN_H_
