// Work in streams, done when something needs it.
#pragma once
#include <deque>
#include <functional>
#include <list>
#include <mutex>

typedef std::function<void()> Work;

struct Stream;

// A piece of work, or a wait until another stream has done so many pieces.
struct Item {
    Work work;
    Stream *other = nullptr;
    long until = 0;
};

struct Stream {
    std::deque<Item> queue;
    long issued = 0, done = 0;
    bool computes = false; // and does not only copy
};

// A moment of a stream: when it has done so many pieces.
struct Event {
    Stream *stream;
    long at;
};

struct Streams {
    std::recursive_mutex lock;
    std::list<Stream> all;
    int failure = 0; // of work that was done later; calls that add or wait return it from then on

    Stream *create() { return &all.emplace_back(); }
    void fail(int code) { failure = failure ? failure : code; }

    void add(Stream &stream, Item item) {
        stream.queue.push_back(std::move(item)), stream.issued++;
        run_early();
    }

    // Does the work of a stream up to a moment, and of the others what that waits for.
    void run(Stream &stream, long until) {
        while (stream.done < until) step(stream, true);
        run_early();
    }
    void run_all() {
        for (Stream &stream : all) run(stream, stream.issued);
    }

  private:
    // Does the next piece of work, unless it must wait.
    bool step(Stream &stream, bool may_run_others) {
        const Item item = stream.queue.front();
        if (item.other && item.other->done < item.until) {
            if (!may_run_others) return false;
            while (item.other->done < item.until) step(*item.other, true);
        }
        stream.queue.pop_front();
        if (item.work) item.work();
        stream.done++;
        return true;
    }
    void run_early() {
        const char *order = getenv("EMULATED_GPU_ORDER");
        if (!order || strcmp(order, "early")) return;
        for (Stream &stream : all)
            if (!stream.computes)
                while (!stream.queue.empty() && step(stream, false)) {}
    }
};
