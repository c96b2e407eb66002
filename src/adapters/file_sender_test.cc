#include "adapters/file_sender.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <string>
#include <thread>

#include "adapters/tcp_address.h"
#include "base/file.h"

namespace ingot::adapters {
namespace {

class FileSenderTest : public testing::TestWithParam<Peer> {
 protected:
  void SetUp() override {
    ::signal(SIGPIPE, SIG_IGN);
    for (uint64_t i = 0; bytes_.size() < size_t{5} << 20; ++i) bytes_ += std::to_string(i * 7919);
    ASSERT_TRUE(WriteFileAtomic(path_, bytes_).has_value());
    auto listener = ListenTcp(*TcpAddress::Parse("127.0.0.1:0"));
    ASSERT_TRUE(listener.has_value());
    const TcpAddress address = *BoundAddress(listener->get());
    client_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(client_.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size), 0);
    for (int i = 0; i < 1000 && !server_.valid(); ++i) {
      server_.reset(::accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!server_.valid()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ASSERT_TRUE(server_.valid());
  }
  FileSender Sender(uint64_t offset, uint64_t size_bytes) {
    return FileSender({*OpenFile(path_, O_RDONLY), offset, size_bytes}, GetParam());
  }
  // Everything that arrives until `sender` has ended; how it ended and how often the file was cold.
  std::string Run(FileSender& sender, FileSender::Step& end, int& cold) {
    std::string heard;
    std::thread reader([&] {
      std::string buffer(100'000, '\0');
      for (ssize_t n = 0; (n = ::recv(client_.get(), buffer.data(), buffer.size(), 0)) > 0;)
        heard.append(buffer, 0, static_cast<size_t>(n));
    });
    SendWindow window;
    uint64_t sent_bytes = 0;
    uint64_t total_bytes = 0;
    cold = 0;
    while (true) {
      end = sender.Send(server_.get(), window, sent_bytes);
      total_bytes += sent_bytes;
      if (end == FileSender::Step::kCold) {
        ++cold;
        sender.Warm();
      } else if (end == FileSender::Step::kFull) {
        std::this_thread::yield();
      } else if (end != FileSender::Step::kSent) {
        break;
      }
    }
    ::shutdown(server_.get(), SHUT_WR);
    reader.join();
    EXPECT_EQ(heard.size(), total_bytes);
    return heard;
  }

  TempDirectory directory_ = *TempDirectory::Make("/var/tmp", "ingot-file-sender-");
  fs::path path_ = directory_.path() / "file";
  std::string bytes_;
  Fd client_;
  Fd server_;
};

TEST_P(FileSenderTest, SendsTheWholeFileAndPartsOfIt) {
  FileSender::Step end{};
  int cold = 0;
  FileSender part = Sender(1'234'567, 1'000'001);
  EXPECT_TRUE(Run(part, end, cold) == bytes_.substr(1'234'567, 1'000'001));
  EXPECT_EQ(end, FileSender::Step::kDone);
  EXPECT_TRUE(part.Empty());
}

TEST_P(FileSenderTest, AFileThatIsOnlyOnTheDiskIsReadBeforeItIsSent) {
  const Fd file = *OpenFile(path_, O_RDONLY);
  ASSERT_EQ(::fsync(file.get()), 0);
  ASSERT_EQ(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  FileSender::Step end{};
  int cold = 0;
  FileSender sender = Sender(0, bytes_.size());
  EXPECT_TRUE(Run(sender, end, cold) == bytes_);
  EXPECT_EQ(end, FileSender::Step::kDone);
  EXPECT_GT(cold, 0) << "the file system keeps files in memory: run the test where there is a disk";
}

TEST_P(FileSenderTest, AFileThatIsShorterThanPromisedFails) {
  FileSender::Step end{};
  int cold = 0;
  FileSender sender = Sender(bytes_.size() - 1000, 2000);
  const std::string heard = Run(sender, end, cold);
  EXPECT_EQ(end, FileSender::Step::kFailed);
  EXPECT_LE(heard.size(), 1000U);
}

TEST_P(FileSenderTest, AClientThatHasGoneFails) {
  client_.reset();
  FileSender sender = Sender(0, bytes_.size());
  SendWindow window;
  uint64_t sent_bytes = 0;
  FileSender::Step step{};
  do {
    step = sender.Send(server_.get(), window, sent_bytes);
    if (step == FileSender::Step::kCold) sender.Warm();
  } while (step != FileSender::Step::kFailed && step != FileSender::Step::kDone);
  EXPECT_EQ(step, FileSender::Step::kFailed);
}

INSTANTIATE_TEST_SUITE_P(Peers, FileSenderTest, testing::Values(Peer::kHere, Peer::kElsewhere));

}  // namespace
}  // namespace ingot::adapters
