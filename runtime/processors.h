#pragma once

#include <thread>

// The processors that this process may run on, and which of them its threads are on.
namespace gradc {

// How many there are, at least 1; taskset and containers restrict them.
int usable_processors();

// The one that the calling thread runs on, -1 if the system does not tell.
int current_processor();

// Moves a thread that is on that processor to another usable one now; the system may move it as before afterwards.
// False if there is no other.
bool leave_processor(std::thread::native_handle_type thread, int processor);

}  // namespace gradc
