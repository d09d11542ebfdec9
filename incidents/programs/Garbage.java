import java.util.ArrayDeque;

/** Small live set, much garbage: Garbage LIVE_MIB TOTAL_MIB [MIB_PER_SECOND]. The heap grows as far as it may. */
public class Garbage {
    private static final int SIZE = 64 << 10;

    public static void main(String[] arguments) throws Exception {
        long live = Long.parseLong(arguments[0]) * 16;
        long total = Long.parseLong(arguments[1]) * 16;
        // Sixteen blocks are a MiB.
        long blocksPerSecond = arguments.length > 2 ? Long.parseLong(arguments[2]) * 16 : 0;
        long begin = System.nanoTime();
        ArrayDeque<byte[]> kept = new ArrayDeque<>();
        for (long made = 0; made < total; made++) {
            byte[] block = new byte[SIZE];
            block[0] = 1;
            kept.add(block);
            if (kept.size() > live) {
                kept.remove();
            }
            if (blocksPerSecond > 0) {
                long ahead = begin + made * 1_000_000_000L / blocksPerSecond - System.nanoTime();
                Thread.sleep(Math.max(0, ahead / 1_000_000));
            } else if (made % 64 == 0) {
                Thread.sleep(2);
            }
        }
        System.out.println("ready");
        Thread.sleep(Long.MAX_VALUE);
    }
}
