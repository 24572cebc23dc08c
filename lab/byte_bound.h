#ifndef LAB_BYTE_BOUND_H_
#define LAB_BYTE_BOUND_H_

// How few bytes any policy can do with, also with objects of many sizes, where
// evicting what is used last (belady) need not be best.
//
// The bound takes every byte as an object of its own, so that parts of objects
// may stay. Whatever a policy does with whole objects can be done with their
// bytes, so that the least for bytes is at most the least for objects. And for
// bytes, which are all of one size, the least is known: keep what is used next;
// where that is too much, give up what is used last (Belady 1966; with the
// choice not to take in at all, a largest k-colourable set of intervals,
// Carlisle and Lloyd 1995). It is what the linear program of "Practical Bounds
// on Optimal Caching with Variable Object Sizes" (Berger, Beckmann,
// Harchol-Balter 2018) has as its optimum when a miss costs the object's bytes.

#include <cstdint>

#include "twostep/lab/use_sequence.h"

namespace twostep {

enum class StepNeeds : uint8_t {
  kNothing,    // an object may be used without being taken in
  kAllAtOnce,  // all objects of a step are in while it lasts
};

// Bytes that are fetched again: of uses that are not the first of their
// objects. In `capacity_bytes`, where what a step itself uses counts as
// `needs` says; a step of more bytes than that leaves no room for others.
uint64_t LeastRefetchedBytes(const UseSequence& uses, uint64_t capacity_bytes,
                             StepNeeds needs);

// Miss bytes of a cache: every object once, and what is fetched again.
uint64_t LeastMissBytes(const UseSequence& uses, uint64_t capacity_bytes);

// Bytes moved into and out of VRAM when every use takes place there: contents
// that a bo has before its first use, in; what is fetched again, out and in.
// Leaving VRAM for good counts nothing.
uint64_t LeastMovedBytes(const TraceHistory& history, uint64_t capacity_bytes);

}  // namespace twostep

#endif  // LAB_BYTE_BOUND_H_
