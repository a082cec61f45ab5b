// A device that is none: the host's memory under another name. Tensors of it are refused beside the host's wherever a
// GPU refuses them; every operation is the host's own on the same memory, so that a training on it has the host's bits.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr auto KIND = c10::DeviceType::PrivateUse1;

struct HostMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    return {data, data, &std::free, c10::Device(KIND, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};

HostMemory memory;
REGISTER_ALLOCATOR(KIND, &memory);

// One device, whose streams are all done at once.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return KIND; }
  c10::Device exchangeDevice(c10::Device device) const override { return device; }
  c10::Device getDevice() const override { return c10::Device(KIND, 0); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream getDefaultStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream getNewStream(c10::Device device, int) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
};

const bool registered = [] {
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

at::Tensor under(c10::DispatchKey key, c10::Storage storage, const at::Tensor& like) {
  auto made = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(key), like.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  return made;
}

// The same memory under another device's name; it lives as long as either.
c10::DataPtr same_memory(const at::Tensor& tensor, c10::Device device) {
  auto* kept = new c10::Storage(tensor.storage());
  auto drop = [](void* held) { delete static_cast<c10::Storage*>(held); };
  return {const_cast<void*>(kept->data()), kept, drop, device};
}

at::Tensor seen_as(c10::DispatchKey key, c10::Device device, const at::Tensor& tensor) {
  c10::Storage storage(c10::Storage::use_byte_size_t(), tensor.storage().nbytes(), same_memory(tensor, device),
                       c10::GetAllocator(device.type()), /*resizable=*/true);
  return under(key, std::move(storage), tensor);
}

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  auto host = [](const at::Tensor& tensor) {
    return tensor.is_cpu() ? tensor : seen_as(c10::DispatchKey::CPU, c10::kCPU, tensor);
  };
  host(to).copy_(host(from));
  return to;
}

at::Tensor& set_part(at::Tensor& self, at::Storage source, int64_t offset, c10::IntArrayRef size,
                     c10::IntArrayRef stride) {
  self.unsafeGetTensorImpl()->set_storage_keep_dtype(std::move(source));
  self.unsafeGetTensorImpl()->set_sizes_and_strides(size, stride, offset);
  return self;
}

at::Tensor& set_whole(at::Tensor& self, at::Storage source) {
  const int64_t count = source.nbytes() / self.itemsize();
  return set_part(self, std::move(source), 0, {count}, {1});
}

void record_stream(at::Tensor&, c10::Stream) {}

// The host has no product of bfloat16 with a result in float32.
at::Tensor mm_into(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype) {
  return at::mm(a.to(dtype), b.to(dtype));
}

const std::set<std::string> LETS_THE_HOST_IN = {"aten::index", "aten::index_put_", "aten::_index_put_impl_"};
// As on a GPU: places in the host's memory.

// An operation's device tensors seen as the host's, and back.
struct Exchange {
  std::vector<std::pair<at::Tensor, at::Tensor>> seen;  // device, host

  at::Tensor to_host(const at::Tensor& tensor) {
    if (!tensor.defined() || tensor.is_cpu()) return tensor;
    for (const auto& [device, host] : seen) if (device.is_same(tensor)) return host;
    seen.emplace_back(tensor, seen_as(c10::DispatchKey::CPU, c10::kCPU, tensor));
    return seen.back().second;
  }

  at::Tensor to_device(const at::Tensor& made) {
    if (!made.defined()) return made;
    for (const auto& [device, host] : seen) {
      if (host.is_same(made)) {  // in place, in other memory where it has grown
        auto storage = device.storage();
        if (storage.data() != host.storage().data()) {
          storage.set_data_ptr_noswap(same_memory(host, c10::Device(KIND, 0)));
          storage.set_nbytes(host.storage().nbytes());
        }
        device.unsafeGetTensorImpl()->set_sizes_and_strides(host.sizes(), host.strides(), host.storage_offset());
        return device;
      }
      if (host.storage().unsafeGetStorageImpl() == made.storage().unsafeGetStorageImpl())  // a view
        return under(c10::DispatchKey::PrivateUse1, device.storage(), made);
    }
    return seen_as(c10::DispatchKey::PrivateUse1, c10::Device(KIND, 0), made);
  }
};

void by_the_host(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  const auto& schema = operation.schema();
  const size_t count = schema.arguments().size(), first = stack->size() - count;
  Exchange exchange;
  bool host = false, device = false;
  auto give = [&](const at::Tensor& tensor) {
    if (tensor.defined() && !tensor.is_cpu()) device = true;
    if (tensor.defined() && tensor.is_cpu() && tensor.dim() > 0) host = true;
    return exchange.to_host(tensor);
  };
  for (size_t place = first; place < stack->size(); ++place) {
    auto& value = (*stack)[place];
    if (value.isTensor()) {
      value = give(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> given;
      for (const at::Tensor& tensor : value.toTensorVector()) given.push_back(give(tensor));
      value = given;
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> given;
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
        given.push_back(tensor ? std::optional<at::Tensor>(give(*tensor)) : std::nullopt);
      value = given;
    } else if (value.isDevice()) {
      value = c10::Device(c10::kCPU);
    }
  }
  TORCH_CHECK(!(host && device) || LETS_THE_HOST_IN.count(schema.name()), "tensors of two devices in ", schema.name());
  operation.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  for (size_t place = stack->size() - schema.returns().size(); place < stack->size(); ++place) {
    auto& value = (*stack)[place];
    if (value.isTensor()) {
      value = exchange.to_device(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> made;
      for (const at::Tensor& tensor : value.toTensorVector()) made.push_back(exchange.to_device(tensor));
      value = made;
    }
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&by_the_host>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("mm.dtype", &mm_into);
  library.impl("record_stream", &record_stream);
  library.impl("set_.source_Storage", &set_whole);
  library.impl("set_.source_Storage_storage_offset", &set_part);
}

}  // namespace
