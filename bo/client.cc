#include "twostep/bo/client.h"

#include "twostep/bo/host.h"

namespace twostep {

const char* NameOf(Resource resource) {
  switch (resource) {
    case Resource::kHost:
      return "host memory";
    case Resource::kDma:
      return "DMA resources";
    case Resource::kDevice:
      return "device memory";
  }
  return "?";
}

Client::Client(Host& host, uint32_t number, const ClientOptions& options)
    : host_(host),
      number_(number),
      name_(options.name),
      handle_limits_(options.handles) {
  const Budget* budgets[] = {&options.host, &options.dma, &options.device};
  for (int i = 0; i < kResources; ++i) {
    const Budget& budget = *budgets[i];
    accounts_[i] = std::make_shared<EvictionAccount>(budget);
    if (budget.min_pages != 0 || budget.low_pages != 0 ||
        budget.max_pages != Budget::kUnlimited) {
      sections_[i] = accounts_[i];
    }
  }
}

void intrusive_ptr_add_ref(Client* client) {
  client->references_.fetch_add(1, std::memory_order_relaxed);
}

void intrusive_ptr_release(Client* client) {
  if (client->references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  client->host_.RemoveClient(*client);
  delete client;
}

}  // namespace twostep
