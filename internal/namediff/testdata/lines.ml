module M = Map.Make (String)

let count words =
  List.fold_left
    (fun m w -> M.update w (function None -> Some 1 | Some n -> Some (n + 1)) m)
    M.empty words

let rec fib n = if n < 2 then n else fib (n - 1) + fib (n - 2)

let () =
  M.iter (fun k n -> Printf.printf "%s %d\n" k n) (count (Array.to_list Sys.argv));
  print_int (fib 20)
