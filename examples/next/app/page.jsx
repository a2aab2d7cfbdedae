"use client";
import "@uppy/dashboard/css/style.min.css";
import { useEffect, useRef } from "react";
import { mountUploader } from "./uploader.js";

// biome-ignore lint/style/noDefaultExport: Next.js asks for it.
export default function Page() {
  const target = useRef(null);
  useEffect(() => {
    const mounted = mountUploader(target.current);
    return () => void mounted.then((end) => end());
  }, []);
  return <div ref={target} />;
}
